//! `/api/v1/capacity`, `/api/v1/relay/manifest` and `/regions`: where sessions can go; and
//! `/api/v1/ip`: where callers are.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Json};
use http::Method;
use http::header::CACHE_CONTROL;
use model::node::NodeState;
use model::{NodeId, Region};
use placement::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Access;
use crate::error::{ApiError, Code};
use crate::limits::Class;
use crate::openapi::Description;
use crate::relay::capacity::{Capacity, Survey, Surveyed};
use crate::routes::Route;
use crate::state::App;
use crate::time::rfc3339;
use service_kit::client_address::ClientAddress;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/capacity/status",
            Access::Public,
            get(status),
        )
        .describe(
            Description::new("Whether sessions can begin, for everybody.")
                .gives::<StatusResponse>(200)
                .refuses(&[503]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/relay/manifest",
            Access::User,
            get(manifest),
        )
        .counted_as(Class::Usage)
        .describe(
            Description::new("The regions and nodes as they are.")
                .gives::<ManifestResponse>(200)
                .refuses(&[503]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/relay/regions",
            Access::User,
            get(list_regions),
        )
        .counted_as(Class::Usage)
        .describe(
            Description::new("The regions that a session can be asked for in.")
                .gives::<RegionsResponse>(200)
                .refuses(&[503]),
        ),
        Route::new(Method::GET, "/api/v1/ip", Access::Public, get(ip)).describe(
            Description::new("The address that the request came from.").gives::<IpResponse>(200),
        ),
    ]
}

/// For everybody, so without nodes and counts.
#[derive(Serialize, ToSchema)]
#[schema(as = capacity::StatusResponse)]
struct StatusResponse {
    observed_at: String,
    /// `available`, `full` or `offline`: the best of the regions.
    status: &'static str,
    regions: Vec<RegionStatus>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = capacity::RegionStatus)]
struct RegionStatus {
    #[schema(value_type = String)]
    region: Region,
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = capacity::ManifestResponse)]
struct ManifestResponse {
    observed_at: String,
    /// The region of nodes whose operator named none.
    #[schema(value_type = String)]
    default_region: Region,
    regions: Vec<RegionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = capacity::RegionView)]
struct RegionView {
    #[schema(value_type = String)]
    region: Region,
    /// Whether a session can begin here now.
    available: bool,
    nodes: Vec<NodeView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = capacity::NodeView)]
struct NodeView {
    #[schema(value_type = String)]
    node_id: NodeId,
    name: String,
    #[schema(schema_with = crate::openapi::schema::node_state)]
    status: NodeState,
    relay_hostname: String,
    srt_port: u16,
    /// Whether it takes a session now.
    available: bool,
    /// Why not.
    unavailable_reason: Option<&'static str>,
    /// Live sessions.
    sessions: u32,
    /// As many as it may have.
    sessions_max: u32,
    /// When it was last heard.
    heartbeat_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = capacity::RegionsResponse)]
struct RegionsResponse {
    /// The region of nodes whose operator named none.
    #[schema(value_type = String)]
    default_region: Region,
    regions: Vec<RegionStatus>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = capacity::IpResponse)]
struct IpResponse {
    ip: String,
}

async fn status(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    let survey = app.surveys.newest(&app).await?;
    let response = StatusResponse {
        observed_at: rfc3339(survey.observed_at),
        status: Capacity::of(survey.regions.values().flatten()).as_str(),
        regions: statuses(&survey),
    };
    Ok(([(CACHE_CONTROL, "public, max-age=5")], Json(response)))
}

async fn list_regions(State(app): State<Arc<App>>) -> Result<Json<RegionsResponse>, ApiError> {
    let survey = app.surveys.newest(&app).await.map_err(unavailable)?;
    Ok(Json(RegionsResponse {
        default_region: app.config.default_region.clone(),
        regions: statuses(&survey),
    }))
}

fn statuses(survey: &Survey) -> Vec<RegionStatus> {
    let status = |(region, nodes): (&Region, &Vec<Surveyed>)| RegionStatus {
        region: region.clone(),
        status: Capacity::of(nodes).as_str(),
    };
    survey.regions.iter().map(status).collect()
}

/// For a plugin that has to know how the internet sees it.
async fn ip(Extension(address): Extension<ClientAddress>) -> impl IntoResponse {
    let ip = address.ip().to_string();
    ([(CACHE_CONTROL, "no-store")], Json(IpResponse { ip }))
}

async fn manifest(State(app): State<Arc<App>>) -> Result<Json<ManifestResponse>, ApiError> {
    let survey = app.surveys.newest(&app).await.map_err(unavailable)?;
    Ok(Json(ManifestResponse {
        observed_at: rfc3339(survey.observed_at),
        default_region: app.config.default_region.clone(),
        regions: regions(&survey),
    }))
}

/// The contract has a word of its own for it.
fn unavailable(error: storage::Error) -> ApiError {
    let error = ApiError::from(error);
    if error.is(Code::Unavailable) {
        return ApiError::new(
            Code::ManifestUnavailable,
            "the list of nodes is away; try again soon",
        );
    }
    error
}

fn regions(survey: &Survey) -> Vec<RegionView> {
    let view = |(region, nodes): (&Region, &Vec<Surveyed>)| RegionView {
        region: region.clone(),
        available: Capacity::of(nodes) == Capacity::Available,
        nodes: nodes.iter().filter_map(node).collect(),
    };
    survey.regions.iter().map(view).collect()
}

/// A node that has never connected is nowhere yet.
fn node(surveyed: &Surveyed) -> Option<NodeView> {
    let node = &surveyed.node;
    let address = node.address.as_ref()?;
    Some(NodeView {
        node_id: node.id.clone(),
        name: node.name.clone(),
        status: node.state,
        relay_hostname: address.public_host.clone(),
        srt_port: address.udp_port,
        available: surveyed.refusal.is_none(),
        unavailable_reason: surveyed.refusal.map(Refusal::as_str),
        sessions: node.sessions,
        sessions_max: node.sessions_max,
        heartbeat_at: node.heartbeat_at.map(rfc3339),
    })
}
