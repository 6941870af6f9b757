//! `/api/v1/ops/nodes`: the operator's view of the fleet.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::node::{Node, NodeHealth, NodeIntent, NodeState};
use model::session::SessionState;
use model::{NodeId, Region, SessionId, TenantId, UnixMillis};
use placement::standing::is_removable;
use placement::{Held, Restriction};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::nodes::{self, Beat, NewNode};
use storage::control::probes::{self, Probed};
use storage::control::sessions::{self, Record};
use storage::control::standings::{self, Standing};
use storage::control::{audit, budgets};
use utoipa::ToSchema;

use super::check_name;
use crate::auth::{Access, Caller};
use crate::config;
use crate::error::{ApiError, Code};
use crate::fleet::{budget, standing};
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;
use crate::token::{self, Kind};

/// The most sessions an operator may allow one node.
const SESSIONS_MAX: u32 = 20_000;

pub(super) fn routes() -> Vec<Route> {
    let (all, one) = ("/api/v1/ops/nodes", "/api/v1/ops/nodes/{id}");
    vec![
        Route::new(Method::POST, all, Access::OPERATOR, post(create)).describe(
            Description::new("Makes a node and the token that it joins with.")
                .takes::<CreateRequest>()
                .gives::<CreateResponse>(201)
                .refuses(&[409]),
        ),
        Route::new(Method::GET, all, Access::VIEWER, get(list))
            .describe(Description::new("Every node.").gives::<ListResponse>(200)),
        Route::new(Method::GET, one, Access::VIEWER, get(show)).describe(
            Description::new("One node, with what is known of it.").gives::<NodeDetails>(200),
        ),
        Route::new(Method::DELETE, one, Access::OPERATOR, delete(remove)).describe(
            Description::new("Removes a node that holds nothing.")
                .says(204)
                .refuses(&[409]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/ops/nodes/{id}/limits",
            Access::OPERATOR,
            post(limit),
        )
        .describe(
            Description::new("Sets how many sessions a node may hold.")
                .takes::<LimitRequest>()
                .gives::<NodeView>(200),
        ),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = nodes::CreateRequest)]
struct CreateRequest {
    name: String,
    region: Option<String>,
    sessions_max: Option<u32>,
    /// Whether it has to earn trust with few sessions; it does unless told otherwise.
    probation: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = nodes::CreateResponse)]
struct CreateResponse {
    #[schema(value_type = String)]
    node_id: NodeId,
    /// Good once; shown this once.
    join_token: String,
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = nodes::ListResponse)]
struct ListResponse {
    nodes: Vec<NodeView>,
}

/// A node in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = nodes::NodeView)]
pub(super) struct NodeView {
    #[schema(value_type = String)]
    node_id: NodeId,
    name: String,
    #[schema(value_type = String)]
    region: Region,
    #[schema(schema_with = crate::openapi::schema::node_state)]
    state: NodeState,
    state_reason: String,
    state_since: Option<String>,
    /// What is observed of it, whatever the operator wants.
    #[schema(value_type = String)]
    health: NodeHealth,
    #[schema(value_type = String)]
    intent: NodeIntent,
    intent_reason: Option<String>,
    /// Sessions that are still there then are ended.
    drain_deadline: Option<String>,
    public_host: Option<String>,
    udp_port: Option<u16>,
    version: Option<String>,
    sessions: u32,
    sessions_max: u32,
    heartbeat_at: Option<String>,
}

/// Everything that is known of a node.
#[derive(Serialize, ToSchema)]
#[schema(as = nodes::NodeDetails)]
struct NodeDetails {
    #[serde(flatten)]
    node: NodeView,
    created_at: String,
    /// Whether it has a credential.
    enrolled: bool,
    publish_port: Option<u16>,
    play_port: Option<u16>,
    /// The operator's limit; null: the node's own.
    sessions_limit: Option<u32>,
    intent_since: Option<String>,
    /// What its last heartbeat said; null: none came yet.
    heartbeat: Option<FiguresView>,
    /// What callers from outside found; null: nobody called yet.
    probe: Option<ProbeView>,
    /// Null: the operator described no offer.
    budget: Option<BudgetSummary>,
    live_sessions: Vec<NodeSession>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = nodes::FiguresView)]
struct FiguresView {
    boot_id: String,
    publishers: u32,
    players: u32,
    data_thread_load_ratio: f64,
    /// Since it was created, whatever boots there were.
    ingress_bytes_total: u64,
    egress_bytes_total: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = nodes::ProbeView)]
struct ProbeView {
    /// Whether it counts as reachable: of the last five calls three have to fail.
    reachable: bool,
    at: String,
    /// When it last answered.
    answered_at: Option<String>,
    /// How long that took.
    rtt_ms: Option<f64>,
    /// Why the last call was not answered; null: it was.
    failure: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = nodes::BudgetSummary)]
struct BudgetSummary {
    used_bytes: u64,
    held_bytes: u64,
    projected_ratio: f64,
    #[schema(value_type = String)]
    restriction: Restriction,
}

#[derive(Serialize, ToSchema)]
#[schema(as = nodes::NodeSession)]
struct NodeSession {
    #[schema(value_type = String)]
    session_id: SessionId,
    #[schema(value_type = String)]
    tenant_id: TenantId,
    #[schema(schema_with = crate::openapi::schema::session_state)]
    state: SessionState,
    publishing: bool,
    started_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = nodes::LimitRequest)]
struct LimitRequest {
    /// Null: as many as the node says.
    sessions_max: Option<u32>,
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<CreateResponse>), ApiError> {
    check_name(&request.name)?;
    let token = token::fresh(Kind::Join);
    let expires_at = app
        .now()
        .plus(config::seconds(app.config.fleet.join_token_seconds));
    let node = NewNode {
        id: NodeId::from_u128(token::id_bits()),
        region: region(&app, request.region.as_deref())?,
        sessions_limit: sessions_limit(request.sessions_max)?,
        name: request.name,
        join_token_sha256: token::hash(token.expose_secret()),
        join_token_expires_at: expires_at,
        vitals: if request.probation.unwrap_or(true) {
            standing::unknown()
        } else {
            standing::trusted()
        },
    };
    let mut transaction = storage::begin(&app.pool).await?;
    nodes::create(&mut *transaction, &node, app.now())
        .await
        .map_err(|error| match error {
            storage::Error::Conflict { .. } => {
                ApiError::new(Code::Conflict, "a node has this name already")
            }
            error => error.into(),
        })?;
    let detail =
        json!({"name": node.name, "region": node.region, "sessions_max": node.sessions_limit});
    let created = caller.action("node.create", node.id.as_str());
    audit::record(&mut transaction, created, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(node.id = %node.id, node.name = node.name, "A node was created");
    let response = CreateResponse {
        node_id: node.id,
        join_token: token.expose_secret().to_owned(),
        expires_at: rfc3339(expires_at),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

async fn list(State(app): State<Arc<App>>) -> Result<Json<ListResponse>, ApiError> {
    let nodes = nodes::list(&app.pool).await?;
    let mut standings = standings::all(&app.pool).await?;
    let nodes = nodes.into_iter().filter_map(|node| {
        let standing = standings.remove(&node.id)?;
        Some(NodeView::new(node, &standing))
    });
    Ok(Json(ListResponse {
        nodes: nodes.collect(),
    }))
}

async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<NodeDetails>, ApiError> {
    let id = NodeId::parse(&id).map_err(|_| unknown())?;
    let (node, standing) = find(&app, &id).await?;
    let figures = nodes::figures(&app.pool, &id).await?.ok_or_else(unknown)?;
    let budget = budget::find(&app.pool, &id).await?;
    let probed = probes::find(&app.pool, &id).await?;
    let live = sessions::live_of_node(&app.pool, &id).await?;
    let address = node.address.as_ref();
    Ok(Json(NodeDetails {
        created_at: rfc3339(figures.created_at),
        enrolled: figures.is_enrolled,
        publish_port: address.map(|address| address.publish_port),
        play_port: address.map(|address| address.play_port),
        sessions_limit: figures.sessions_limit,
        intent_since: standing.intent_at.map(rfc3339),
        heartbeat: figures.beat.map(Into::into),
        probe: probed.map(Into::into),
        budget: budget.as_ref().and_then(|row| summary(row, app.now())),
        live_sessions: live.into_iter().map(Into::into).collect(),
        node: NodeView::new(node, &standing),
    }))
}

impl From<Probed> for ProbeView {
    fn from(probed: Probed) -> Self {
        Self {
            reachable: probed.is_reachable,
            at: rfc3339(probed.at),
            answered_at: probed.answered_at.map(rfc3339),
            rtt_ms: probed.rtt_us.map(|rtt_us| rtt_us as f64 / 1000.0),
            failure: probed.failure,
        }
    }
}

fn summary(row: &budgets::Budget, now: UnixMillis) -> Option<BudgetSummary> {
    let budget = budget::read(row)?;
    Some(BudgetSummary {
        used_bytes: budget.outlook.used_bytes,
        held_bytes: budget.held.bytes,
        projected_ratio: budget.projected_ratio(Held::default(), now),
        restriction: budget.outlook.restriction,
    })
}

async fn limit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<LimitRequest>,
) -> Result<Json<NodeView>, ApiError> {
    let id = NodeId::parse(&id).map_err(|_| unknown())?;
    let limit = sessions_limit(request.sessions_max)?;
    let mut transaction = storage::begin(&app.pool).await?;
    let node = nodes::set_sessions_limit(&mut transaction, &id, limit).await?;
    node.ok_or_else(unknown)?;
    let limited = caller.action("node.limits", id.as_str());
    let detail = json!({"sessions_max": limit});
    audit::record(&mut transaction, limited, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(node.id = %id, sessions_max = limit, "A node's limit was set");
    view(&app, &id).await
}

/// Only one that nobody relies on.
async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = NodeId::parse(&id).map_err(|_| unknown())?;
    let mut transaction = storage::begin(&app.pool).await?;
    let known = standings::lock(&mut transaction, &id).await?;
    let known = known.ok_or_else(unknown)?;
    let node = nodes::find(&mut *transaction, &id).await?;
    let node = node.ok_or_else(unknown)?;
    let facts = standing::facts(&known);
    if !is_removable(&facts) {
        let (state, sessions) = (facts.state(), facts.sessions);
        let message = format!(
            "the node is {state} with {sessions} sessions: drain it and wait until it is drained"
        );
        return Err(ApiError::new(Code::Conflict, message));
    }
    nodes::remove(&mut transaction, &id, app.now()).await?;
    let removed = caller.action("node.remove", id.as_str());
    let detail = json!({"name": node.name, "region": node.region, "state": facts.state()});
    audit::record(&mut transaction, removed, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(node.id = %id, node.name = node.name, "A node was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// A node as its list shows it.
pub(super) async fn view(app: &App, id: &NodeId) -> Result<Json<NodeView>, ApiError> {
    let (node, standing) = find(app, id).await?;
    Ok(Json(NodeView::new(node, &standing)))
}

async fn find(app: &App, id: &NodeId) -> Result<(Node, Standing), ApiError> {
    let node = nodes::find(&app.pool, id).await?.ok_or_else(unknown)?;
    let standing = standings::find(&app.pool, id).await?.ok_or_else(unknown)?;
    Ok((node, standing))
}

pub(super) fn unknown() -> ApiError {
    ApiError::not_found("no such node")
}

fn region(app: &App, asked: Option<&str>) -> Result<Region, ApiError> {
    let Some(asked) = asked else {
        return Ok(app.config.default_region.clone());
    };
    let region =
        Region::parse(asked).map_err(|error| ApiError::invalid(format!("region: {error}")))?;
    if app.config.knows(&region) {
        Ok(region)
    } else {
        Err(ApiError::invalid("region: not one of this installation's"))
    }
}

fn sessions_limit(asked: Option<u32>) -> Result<Option<u32>, ApiError> {
    match asked {
        Some(limit) if !(1..=SESSIONS_MAX).contains(&limit) => Err(ApiError::invalid(format!(
            "sessions_max: 1 to {SESSIONS_MAX}"
        ))),
        limit => Ok(limit),
    }
}

impl NodeView {
    fn new(node: Node, standing: &Standing) -> Self {
        let (public_host, udp_port) = node
            .address
            .map(|address| (address.public_host, address.udp_port))
            .unzip();
        Self {
            node_id: node.id,
            name: node.name,
            region: node.region,
            state: standing.state,
            state_reason: standing.state_reason.clone(),
            state_since: standing.state_at.map(rfc3339),
            health: standing.health,
            intent: standing.intent,
            intent_reason: standing.intent_reason.clone(),
            drain_deadline: standing.drain_deadline.map(rfc3339),
            public_host,
            udp_port,
            version: node.version,
            sessions: node.sessions,
            sessions_max: node.sessions_max,
            heartbeat_at: node.heartbeat_at.map(rfc3339),
        }
    }
}

impl From<Beat> for FiguresView {
    fn from(beat: Beat) -> Self {
        Self {
            boot_id: beat.boot_id,
            publishers: beat.publishers,
            players: beat.players,
            data_thread_load_ratio: beat.data_thread_load_ratio,
            ingress_bytes_total: beat.ingress_bytes_total,
            egress_bytes_total: beat.egress_bytes_total,
        }
    }
}

impl From<Record> for NodeSession {
    fn from(record: Record) -> Self {
        let session = record.session;
        Self {
            session_id: session.id,
            tenant_id: session.tenant_id,
            state: session.state,
            publishing: session.publishing,
            started_at: rfc3339(session.started_at),
        }
    }
}
