//! `/api/v1/ops/placement`: where a session would go, and why one went where it is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::Method;
use model::{NodeId, Region, SessionId, UserId};
use placement::{Demand, Explained, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::control::placements;
use utoipa::ToSchema;

use crate::auth::Access;
use crate::config::seconds;
use crate::error::ApiError;
use crate::fleet::budget;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

/// Candidates in an answer, the best first.
const CANDIDATES_MAX: usize = 1000;
const STREAM_BPS_MAX: u64 = 10_000_000_000;
const PLAYERS_MAX: u32 = 10_000;
const DURATION_SECONDS_MAX: u32 = 31 * 86_400;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/ops/placement/explain",
            Access::VIEWER,
            post(explain),
        )
        .describe(
            Description::new("Where a session would go, and each node's cost.")
                .takes::<ExplainRequest>()
                .gives::<ExplainResponse>(200),
        ),
        Route::new(
            Method::GET,
            "/api/v1/ops/placement/sessions/{id}",
            Access::VIEWER,
            get(of_session),
        )
        .describe(Description::new("Why a session is where it is.").gives::<SessionResponse>(200)),
    ]
}

/// A session that might be started; what is not said is as usual.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = placement::ExplainRequest)]
struct ExplainRequest {
    #[schema(value_type = Option<String>)]
    region: Option<Region>,
    stream_bps: Option<u64>,
    players: Option<u32>,
    duration_seconds: Option<u32>,
    /// Whose: what their streams measured counts.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = placement::ExplainResponse)]
struct ExplainResponse {
    /// Where it would go; absent when no node can take it.
    #[schema(value_type = Option<String>)]
    node_id: Option<NodeId>,
    /// Whether that is another region than was asked for.
    region_fallback: bool,
    #[schema(value_type = Vec<Object>)]
    candidates: Vec<Explained>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = placement::SessionResponse)]
struct SessionResponse {
    at: String,
    #[schema(value_type = Option<String>)]
    region_requested: Option<Region>,
    region_fallback: bool,
    candidates: Value,
}

async fn explain(
    State(app): State<Arc<App>>,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<ExplainResponse>, ApiError> {
    let wanted = Request {
        demand: demand(&app, &request)?,
        region: request.region,
        silent_max: seconds(app.config.fleet.offline_after_seconds),
        weights: app.config.placement.weights(),
        probation_sessions_max: app.config.fleet.probation_sessions_max,
    };
    let mut transaction = storage::begin(&app.pool).await?;
    let mut candidates = budget::candidates(&mut transaction).await?;
    let now = app.now();
    if let Some(user) = &request.user_id {
        budget::measure(&mut transaction, user, &mut candidates, now).await?;
    }
    let ranking = placement::choose(&candidates, &wanted, now);
    Ok(Json(ExplainResponse {
        node_id: ranking.best().map(|best| best.node_id.clone()),
        region_fallback: ranking.region_fallback,
        candidates: placement::explain(&ranking, CANDIDATES_MAX),
    }))
}

fn demand(app: &App, request: &ExplainRequest) -> Result<Demand, ApiError> {
    let usual = app.config.placement.demand();
    let demand = Demand {
        stream_bps: request.stream_bps.unwrap_or(usual.stream_bps),
        players: request.players.unwrap_or(usual.players),
        duration: request
            .duration_seconds
            .map_or(usual.duration, |it| Duration::from_secs(it.into())),
    };
    if !(1..=STREAM_BPS_MAX).contains(&demand.stream_bps) {
        return Err(ApiError::invalid("stream_bps: 1 to 10^10"));
    }
    if demand.players > PLAYERS_MAX {
        return Err(ApiError::invalid("players: 0 to 10000"));
    }
    let longest = Duration::from_secs(DURATION_SECONDS_MAX.into());
    if demand.duration.is_zero() || demand.duration > longest {
        return Err(ApiError::invalid("duration_seconds: 1 to 2678400"));
    }
    Ok(demand)
}

async fn of_session(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<SessionResponse>, ApiError> {
    let unknown = || ApiError::not_found("no decision is known for this session");
    let id = SessionId::parse(&id).map_err(|_| unknown())?;
    let placement = placements::of_session(&app.pool, &id).await?;
    let placement = placement.ok_or_else(unknown)?;
    Ok(Json(SessionResponse {
        at: rfc3339(placement.at),
        region_requested: placement.region_requested,
        region_fallback: placement.region_fallback,
        candidates: placement.candidates,
    }))
}
