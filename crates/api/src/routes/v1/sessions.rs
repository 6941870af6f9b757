//! `/api/v1/ops/sessions`: everybody's sessions, for operators. Nothing here shows a stream
//! key or a viewer's address.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::session::SessionState;
use model::{NodeId, Region, SessionId, StreamId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit::{self, Action};
use storage::control::session_events::{self, Event};
use storage::control::session_list::{self, Filter, Listed};
use storage::control::{chains, connections, sessions};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::metrics;
use crate::openapi::Description;
use crate::relay::moves::{self, By, Destination};
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

const LISTED_MAX: u32 = 500;
const LISTED_DEFAULT: u32 = 50;
const HISTORY_MAX: u32 = 100;
const REASON_LENGTH_MAX: usize = 256;
/// Why a session ended that an operator ended.
const STOPPED: &str = "stopped_by_operator";

pub(super) fn routes() -> Vec<Route> {
    let route = Route::new;
    let (viewer, operator) = (Access::VIEWER, Access::OPERATOR);
    let (all, one) = ("/api/v1/ops/sessions", "/api/v1/ops/sessions/{id}");
    let (stops, moves) = (
        "/api/v1/ops/sessions/{id}/stop",
        "/api/v1/ops/sessions/{id}/migrate",
    );
    vec![
        route(Method::GET, all, viewer, get(list)).describe(
            Description::new("Everybody's sessions, the newest first.")
                .query("node", "On this node.")
                .query("user", "Of this user.")
                .query("state", "A state, or `live`: all but `stopped`.")
                .query("before", "Older than this session.")
                .query("limit", "How many.")
                .gives::<ListResponse>(200)
                .refuses(&[400]),
        ),
        route(Method::GET, one, viewer, get(show)).describe(
            Description::new("A session, its links and its history.")
                .gives::<ShowResponse>(200)
                .refuses(&[404]),
        ),
        route(Method::POST, stops, operator, post(stop)).describe(
            Description::new("Ends a session.")
                .takes::<StopRequest>()
                .gives::<SessionView>(200)
                .refuses(&[404]),
        ),
        route(Method::POST, moves, operator, post(migrate)).describe(
            Description::new("Moves a session to another node; the picture goes on.")
                .takes::<MigrateRequest>()
                .gives::<SessionView>(202)
                .refuses(&[404, 409, 503]),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListRequest {
    node: Option<String>,
    user: Option<String>,
    /// A state, or `live`: all but `stopped`.
    state: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ops_sessions::ListResponse)]
struct ListResponse {
    sessions: Vec<SessionView>,
    /// Ask with `before` set to this for older ones; absent when there are none.
    #[schema(value_type = Option<String>)]
    next_before: Option<SessionId>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ops_sessions::SessionView)]
struct SessionView {
    #[schema(value_type = String)]
    session_id: SessionId,
    #[schema(value_type = String)]
    state: SessionState,
    /// Since when, to within a few seconds.
    since: Option<String>,
    publishing: bool,
    #[schema(value_type = String)]
    tenant_id: TenantId,
    #[schema(value_type = String)]
    user_id: UserId,
    user_name: String,
    connection_id: Option<String>,
    #[schema(value_type = String)]
    stream_id: StreamId,
    #[schema(value_type = String)]
    node_id: NodeId,
    node_name: String,
    #[schema(value_type = String)]
    region: Region,
    started_at: String,
    lease_expires_at: String,
    ends_at: String,
    drain_ends_at: Option<String>,
    stopped_at: Option<String>,
    stop_reason: Option<String>,
    published_seconds: u64,
    ingress_bytes: u64,
    egress_bytes: u64,
    #[schema(value_type = Option<String>)]
    supersedes: Option<SessionId>,
    #[schema(value_type = Option<String>)]
    superseded_by: Option<SessionId>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ops_sessions::ShowResponse)]
struct ShowResponse {
    session: SessionView,
    links: LinksView,
    /// The newest first.
    history: Vec<EventView>,
}

/// The uplinks of a bonded sender, without their addresses.
#[derive(Serialize, ToSchema)]
#[schema(as = ops_sessions::LinksView)]
struct LinksView {
    count: usize,
    carriers: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ops_sessions::EventView)]
struct EventView {
    at: String,
    #[schema(value_type = String)]
    state: SessionState,
    publishing: bool,
    reason: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ops_sessions::StopRequest)]
struct StopRequest {
    /// Why, for the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ops_sessions::MigrateRequest)]
struct MigrateRequest {
    /// Only there; absent: anywhere.
    #[schema(value_type = Option<String>)]
    region: Option<Region>,
    /// Only this node.
    #[schema(value_type = Option<String>)]
    node: Option<NodeId>,
    /// Why, for the audit.
    reason: String,
}

async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListRequest>, QueryRejection>,
) -> Result<Json<ListResponse>, ApiError> {
    let Query(request) = query?;
    let limit = request.limit.unwrap_or(LISTED_DEFAULT);
    if !(1..=LISTED_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: 1 to {LISTED_MAX}")));
    }
    let node = parsed::<NodeId>("node", request.node.as_deref())?;
    let user = parsed::<UserId>("user", request.user.as_deref())?;
    let before = parsed::<SessionId>("before", request.before.as_deref())?;
    let state = request.state.as_deref().filter(|state| *state != "live");
    let filter = Filter {
        node: node.as_ref(),
        user: user.as_ref(),
        state: parsed("state", state)?,
        live: request.state.as_deref() == Some("live"),
        before: before.as_ref(),
        ..Filter::default()
    };
    let found = session_list::list(&app.pool, filter, limit).await?;
    let is_full = found.len() == limit as usize;
    Ok(Json(ListResponse {
        next_before: found.last().filter(|_| is_full).map(|it| it.id.clone()),
        sessions: found.into_iter().map(Into::into).collect(),
    }))
}

async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<ShowResponse>, ApiError> {
    let id = identifier(&id)?;
    let session = find(&app, &id).await?;
    let newest = app.links.newest(&id).await;
    let links = newest.now();
    let mut carriers: Vec<String> = links
        .iter()
        .filter_map(|link| link.identity.asn_org.as_deref().map(str::to_owned))
        .collect();
    carriers.sort_unstable();
    carriers.dedup();
    let history = session_events::of_session(&app.pool, &id, HISTORY_MAX).await?;
    Ok(Json(ShowResponse {
        session,
        links: LinksView {
            count: links.len(),
            carriers,
        },
        history: history.into_iter().map(Into::into).collect(),
    }))
}

async fn stop(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<StopRequest>,
) -> Result<Json<SessionView>, ApiError> {
    let id = identifier(&id)?;
    let reason = check_reason(&request.reason)?;
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let record = sessions::find(&mut *transaction, &id).await?;
    let record = record.ok_or_else(unknown)?;
    // A start or a move that is under way comes before or after, never in between.
    sessions::lock_user(&mut transaction, &record.session.user_id).await?;
    let stopped = chains::stop(&mut transaction, &id, STOPPED, now).await?;
    if !stopped.is_empty() {
        if let Some(name) = &record.session.connection_id {
            // Or it would be given a session again.
            connections::forget(&mut transaction, &record.session.user_id, name).await?;
        }
        let action = Action {
            reason: Some(reason),
            ..caller.action("session.stop", id.as_str())
        };
        let detail = json!({"node": record.session.node_id, "user": record.session.user_id,
            "stopped": stopped});
        audit::record(&mut transaction, action, &detail, now).await?;
    }
    storage::commit(transaction).await?;
    metrics::stopped(metrics::Stopped::Requested, stopped.len());
    for id in &stopped {
        tracing::info!(session.id = %id, "An operator stopped a session");
    }
    Ok(Json(find(&app, &id).await?))
}

async fn migrate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<MigrateRequest>,
) -> Result<(StatusCode, Json<SessionView>), ApiError> {
    let id = identifier(&id)?;
    let action = Action {
        reason: Some(check_reason(&request.reason)?),
        ..caller.action("session.migrate", id.as_str())
    };
    let to = Destination {
        region: request.region,
        node: request.node,
    };
    let moved = moves::begin(&app, &id, &to, By::Operator(action)).await?;
    let session = find(&app, &moved.session.id).await?;
    Ok((StatusCode::ACCEPTED, Json(session)))
}

async fn find(app: &App, id: &SessionId) -> Result<SessionView, ApiError> {
    let filter = Filter {
        id: Some(id),
        ..Filter::default()
    };
    let found = session_list::list(&app.pool, filter, 1).await?.pop();
    Ok(found.ok_or_else(unknown)?.into())
}

fn identifier(id: &str) -> Result<SessionId, ApiError> {
    SessionId::parse(id).map_err(|_| unknown())
}

fn unknown() -> ApiError {
    ApiError::not_found("no such session")
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, ApiError> {
    text.map(str::parse)
        .transpose()
        .map_err(|error: T::Err| ApiError::invalid(format!("{name}: {error}")))
}

fn check_reason(reason: &str) -> Result<&str, ApiError> {
    let reason = reason.trim();
    let is_printable = !reason.chars().any(char::is_control);
    if is_printable && (1..=REASON_LENGTH_MAX).contains(&reason.chars().count()) {
        return Ok(reason);
    }
    Err(ApiError::invalid(format!(
        "reason: 1 to {REASON_LENGTH_MAX} printable characters"
    )))
}

impl From<Listed> for SessionView {
    fn from(it: Listed) -> Self {
        Self {
            session_id: it.id,
            state: it.state,
            since: it.since.map(rfc3339),
            publishing: it.publishing,
            tenant_id: it.tenant_id,
            user_id: it.user_id,
            user_name: it.user_name,
            connection_id: it.connection_id,
            stream_id: it.stream_id,
            node_id: it.node_id,
            node_name: it.node_name,
            region: it.region,
            started_at: rfc3339(it.started_at),
            lease_expires_at: rfc3339(it.lease_expires_at),
            ends_at: rfc3339(it.ends_at),
            drain_ends_at: it.drain_ends_at.map(rfc3339),
            stopped_at: it.stopped_at.map(rfc3339),
            stop_reason: it.stop_reason,
            published_seconds: it.published_ms / 1000,
            ingress_bytes: it.ingress_bytes,
            egress_bytes: it.egress_bytes,
            supersedes: it.supersedes,
            superseded_by: it.superseded_by,
        }
    }
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            at: rfc3339(event.at),
            state: event.state,
            publishing: event.publishing,
            reason: event.reason,
        }
    }
}
