//! `/api/v1/dock`: what the dock's page does.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::node::NodeState;
use model::session::SessionState;
use model::{Region, SessionId, UnixMillis};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use storage::control::connections::{self, Connection, ConnectionSession, Wanted};
use storage::control::sessions;
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::config::{Config, seconds};
use crate::cookie::{self, Cookie};
use crate::dock::{ready, sign_in};
use crate::error::{ApiError, Code};
use crate::openapi::Description;
use crate::relay::names;
use crate::relay::request::StartRequest;
use crate::relay::stop;
use crate::relay::view::{Urls, View};
use crate::routes::{Body, Route, user_agent};
use crate::state::App;
use crate::time::rfc3339;

/// The most connections one user may want.
const CONNECTIONS_MAX: u32 = 64;
/// The most connections one answer lists: those of other clients come on top.
const LISTED_MAX: u32 = 500;

pub(super) fn routes() -> Vec<Route> {
    let (session, connections) = ("/api/v1/dock/session", "/api/v1/dock/connections");
    let (one, urls) = (
        "/api/v1/dock/connections/{name}",
        "/api/v1/dock/connections/{name}/urls",
    );
    vec![
        Route::new(
            Method::POST,
            "/api/v1/dock/links",
            Access::User,
            post(make_link),
        )
        .describe(
            Description::new("Makes a link that signs a dock in, once.").gives::<LinkResponse>(201),
        ),
        Route::new(Method::POST, session, Access::Public, post(enter)).describe(
            Description::new("Signs a dock in by a link.")
                .takes::<EnterRequest>()
                .says(204)
                .refuses(&[401, 403]),
        ),
        Route::new(Method::DELETE, session, Access::Dock, delete(leave))
            .describe(Description::new("Signs the dock out.").says(204)),
        Route::new(Method::GET, connections, Access::Dock, get(list)).describe(
            Description::new("The connections that are wanted, and their sessions.")
                .gives::<ListResponse>(200),
        ),
        Route::new(Method::POST, connections, Access::Dock, post(add)).describe(
            Description::new(
                "Wants a connection; it gets a session as soon as a node can take it.",
            )
            .takes::<AddRequest>()
            .gives::<ConnectionView>(201)
            .refuses(&[403, 409]),
        ),
        Route::new(Method::DELETE, one, Access::Dock, delete(remove)).describe(
            Description::new("Wants a connection no longer; its session ends.").says(204),
        ),
        Route::new(Method::GET, urls, Access::Dock, get(show_urls)).describe(
            Description::new("Where to send to and where to play from, with the keys.")
                .gives::<Urls>(200),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = dock::LinkResponse)]
struct LinkResponse {
    /// Good once.
    code: String,
    /// Where the page is, with the code in its fragment, which browsers do not send.
    path: String,
    expires_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = dock::EnterRequest)]
struct EnterRequest {
    code: String,
}

/// What the page holds all the time: no secret is in here.
#[derive(Serialize, ToSchema)]
#[schema(as = dock::ListResponse)]
struct ListResponse {
    #[schema(value_type = i64)]
    observed_at: UnixMillis,
    #[schema(value_type = Vec<String>)]
    regions: Vec<Region>,
    connections: Vec<ConnectionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dock::ConnectionView)]
struct ConnectionView {
    name: String,
    /// None while no node can take it.
    session: Option<SessionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dock::SessionView)]
struct SessionView {
    #[schema(value_type = String)]
    session_id: SessionId,
    #[schema(schema_with = crate::openapi::schema::session_state)]
    status: SessionState,
    publishing: bool,
    region_fallback: bool,
    node: NodeView,
    /// While the stream moves here: where its sender is still.
    #[serde(skip_serializing_if = "Option::is_none")]
    moving_from: Option<OriginView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dock::OriginView)]
struct OriginView {
    #[schema(value_type = String)]
    session_id: SessionId,
    node_name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dock::NodeView)]
struct NodeView {
    name: String,
    #[schema(value_type = String)]
    region: Region,
    /// The name of the stream; the node's address while the DNS does not have it.
    host: String,
    port: u16,
    online: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = dock::AddRequest)]
struct AddRequest {
    name: String,
    region: Option<String>,
}

async fn make_link(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<(StatusCode, Json<LinkResponse>), ApiError> {
    let code = sign_in::link(&app, &caller.account).await?;
    let lifetime = seconds(app.config.dock.link_seconds);
    let response = LinkResponse {
        code: code.expose_secret().to_owned(),
        path: format!("/dock#code={}", code.expose_secret()),
        expires_at: rfc3339(app.now().plus(lifetime)),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

async fn enter(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(request): Body<EnterRequest>,
) -> Result<impl IntoResponse, ApiError> {
    if !cookie::is_same_origin(&headers) {
        return Err(ApiError::new(Code::Forbidden, "this is for our own page"));
    }
    let secret = sign_in::with_link(&app, &request.code, user_agent(&headers)).await?;
    let lifetime = seconds(app.config.dock.session_seconds);
    let cookie = Cookie::Dock.set(&secret, lifetime, &headers);
    let cookie = cookie.ok_or_else(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

async fn leave(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    if let Some(secret) = Cookie::Dock.read(&headers) {
        sign_in::sign_out(&app, secret).await?;
    }
    let cookie = Cookie::Dock
        .clear(&headers)
        .ok_or_else(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ListResponse>, ApiError> {
    let connections = connections::list(&app.pool, &caller.account.user_id, LISTED_MAX).await?;
    Ok(Json(ListResponse {
        observed_at: app.now(),
        regions: app.config.regions.clone(),
        connections: connections
            .into_iter()
            .map(|connection| ConnectionView::new(&app.config, connection))
            .collect(),
    }))
}

/// Wants a connection and provisions it. When no node can take it now it is wanted
/// all the same, and gets its session as soon as one can.
async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<AddRequest>,
) -> Result<(StatusCode, Json<ConnectionView>), ApiError> {
    let wanted = wanted(&app, &caller, &request)?;
    if !connections::want(&app.pool, &wanted, CONNECTIONS_MAX, app.now()).await? {
        return Err(ApiError::new(
            Code::Conflict,
            "these are enough connections",
        ));
    }
    if let Err(error) = ready::provision(&app, &wanted).await
        && !error.is(Code::NoCapacity)
    {
        if error.is(Code::EntitlementDenied) || error.is(Code::ConnectionLimitReached) {
            forget(&app, &wanted).await?;
        }
        return Err(error);
    }
    let user = &wanted.account.user_id;
    let listed = connections::list(&app.pool, user, LISTED_MAX).await?;
    let added = listed.into_iter().find(|one| one.name == wanted.name);
    let added = added.ok_or_else(ApiError::internal)?;
    Ok((
        StatusCode::CREATED,
        Json(ConnectionView::new(&app.config, added)),
    ))
}

/// What the plan does not allow is wanted no longer.
async fn forget(app: &App, wanted: &Wanted) -> Result<(), ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    connections::forget(&mut transaction, &wanted.account.user_id, &wanted.name).await?;
    Ok(transaction.commit().await.map_err(storage::Error::from)?)
}

/// The same checks as for a session of that name.
fn wanted(app: &App, caller: &Caller, request: &AddRequest) -> Result<Wanted, ApiError> {
    let checked = StartRequest::from_json(serde_json::json!({
        "connection_id": request.name,
        "region_preference": request.region,
    }))?;
    let name = checked.connection;
    let name = name.ok_or_else(|| ApiError::invalid("name: it is empty"))?;
    if let Some(region) = &checked.region
        && !app.config.knows(region)
    {
        return Err(ApiError::invalid("region: not one of this installation's"));
    }
    Ok(Wanted {
        account: caller.account.clone(),
        name,
        region: checked.region,
    })
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    stop::remove(&app, &caller.account, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The URLs with their stream keys: asked for when they are to be shown or copied.
async fn show_urls(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<([(http::HeaderName, HeaderValue); 1], Json<Urls>), ApiError> {
    let user = &caller.account.user_id;
    let record = sessions::live_of_connection(&app.pool, user, Some(&name)).await?;
    let record = record.ok_or_else(|| ApiError::not_found("no such connection"))?;
    let urls = View::new(&app).session(&record).into_urls();
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(([no_store], Json(urls)))
}

impl ConnectionView {
    fn new(config: &Config, connection: Connection) -> Self {
        let session = connection.session;
        Self {
            name: connection.name,
            session: session.map(|session| SessionView::new(config, session)),
        }
    }
}

impl SessionView {
    fn new(config: &Config, session: ConnectionSession) -> Self {
        let name = names::shown(config, session.dns_name.as_deref()).map(str::to_owned);
        let address = session.address;
        let (host, port) = address
            .map(|address| (address.public_host, address.udp_port))
            .unwrap_or_default();
        Self {
            session_id: session.id,
            status: session.state,
            publishing: session.publishing,
            region_fallback: session.region_fallback,
            node: NodeView {
                name: session.node_name,
                region: session.region,
                host: name.unwrap_or(host),
                port,
                online: session.node_state != NodeState::Offline,
            },
            moving_from: session.moving_from.map(|origin| OriginView {
                session_id: origin.session_id,
                node_name: origin.node_name,
            }),
        }
    }
}
