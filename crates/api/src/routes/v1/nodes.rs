//! `/api/v1/ops/nodes`: the operator's view of the fleet.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::node::{Node, NodeState};
use model::{NodeId, Region};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit;
use storage::control::nodes::{self, NewNode};

use super::check_name;
use crate::auth::{Access, Caller};
use crate::config;
use crate::error::{ApiError, Code};
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;
use crate::token::{self, Kind};

/// The most sessions an operator may allow one node.
const SESSIONS_MAX: u32 = 20_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/ops/nodes",
            Access::Admin,
            post(create),
        ),
        Route::new(Method::GET, "/api/v1/ops/nodes", Access::Admin, get(list)),
        Route::new(
            Method::POST,
            "/api/v1/ops/nodes/{id}/drain",
            Access::Admin,
            post(drain),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    name: String,
    region: Option<String>,
    sessions_max: Option<u32>,
}

#[derive(Serialize)]
struct CreateResponse {
    node_id: NodeId,
    /// Good once; shown this once.
    join_token: String,
    expires_at: String,
}

#[derive(Serialize)]
struct ListResponse {
    nodes: Vec<NodeView>,
}

#[derive(Serialize)]
struct NodeView {
    node_id: NodeId,
    name: String,
    region: Region,
    state: NodeState,
    public_host: Option<String>,
    udp_port: Option<u16>,
    version: Option<String>,
    sessions: u32,
    sessions_max: u32,
    heartbeat_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainRequest {
    draining: bool,
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
    Ok(Json(ListResponse {
        nodes: nodes.into_iter().map(Into::into).collect(),
    }))
}

async fn drain(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<DrainRequest>,
) -> Result<Json<NodeView>, ApiError> {
    let unknown = || ApiError::not_found("no such node");
    let id = NodeId::parse(&id).map_err(|_| unknown())?;
    let mut transaction = storage::begin(&app.pool).await?;
    let node = nodes::set_draining(&mut transaction, &id, request.draining).await?;
    let node = node.ok_or_else(unknown)?;
    let detail = json!({"draining": request.draining});
    let drained = caller.action("node.drain", id.as_str());
    audit::record(&mut transaction, drained, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(node.id = %id, draining = request.draining, "A node's draining was set");
    Ok(Json(node.into()))
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

impl From<Node> for NodeView {
    fn from(node: Node) -> Self {
        let (public_host, udp_port) = node
            .address
            .map(|address| (address.public_host, address.udp_port))
            .unzip();
        Self {
            node_id: node.id,
            name: node.name,
            region: node.region,
            state: node.state,
            public_host,
            udp_port,
            version: node.version,
            sessions: node.sessions,
            sessions_max: node.sessions_max,
            heartbeat_at: node.heartbeat_at.map(rfc3339),
        }
    }
}
