//! `/api/v1/ops/fleet`: the fleet as a whole.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use http::Method;
use model::{NodeId, Region};
use placement::advice::{AHEAD_DAYS, Addition, Advice};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Access;
use crate::error::ApiError;
use crate::fleet::advice;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;
use crate::time::rfc3339;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/ops/fleet/advice",
            Access::VIEWER,
            get(advise),
        )
        .describe(
            Description::new("When each region's bytes run out, and what to add.")
                .gives::<AdviceResponse>(200),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = fleet::AdviceResponse)]
struct AdviceResponse {
    at: String,
    /// How far is looked ahead.
    ahead_days: u32,
    regions: Vec<RegionView>,
    /// Nodes without a described offer: nothing is known of what their regions have left.
    undescribed: Vec<UndescribedNode>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = fleet::RegionAdvice)]
struct RegionView {
    #[schema(value_type = String)]
    region: Region,
    /// What streams are expected to move on the next day, in and out.
    demand_bytes_per_day: u64,
    /// By how much that grows each day.
    growth_bytes_per_day: u64,
    /// What the nodes can move each day for ever.
    supply_bytes_per_day: u64,
    /// When something is missing first; null: not within `ahead_days`.
    runs_out_at: Option<String>,
    /// How much, on the days on which something is.
    missing_bytes_per_day: u64,
    /// What would mend it at the least price; null: nothing is missing, or no offer has a price.
    add: Option<AdditionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = fleet::Addition)]
struct AdditionView {
    /// The same offer as this node has.
    #[schema(value_type = String)]
    like_node_id: NodeId,
    nodes: u32,
    /// Of all of them, in the operator's currency.
    price_per_month: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = fleet::UndescribedNode)]
struct UndescribedNode {
    #[schema(value_type = String)]
    node_id: NodeId,
    #[schema(value_type = String)]
    region: Region,
}

async fn advise(State(app): State<Arc<App>>) -> Result<Json<AdviceResponse>, ApiError> {
    let report = advice::report(&app).await?;
    let undescribed = report.undescribed.into_iter();
    Ok(Json(AdviceResponse {
        at: rfc3339(report.at),
        ahead_days: AHEAD_DAYS,
        regions: report.regions.into_iter().map(Into::into).collect(),
        undescribed: undescribed
            .map(|(region, node_id)| UndescribedNode { node_id, region })
            .collect(),
    }))
}

impl From<Advice> for RegionView {
    fn from(advice: Advice) -> Self {
        Self {
            region: advice.region,
            demand_bytes_per_day: advice.demand_bytes_per_day,
            growth_bytes_per_day: advice.growth_bytes_per_day,
            supply_bytes_per_day: advice.supply_bytes_per_day,
            runs_out_at: advice.runs_out_at.map(rfc3339),
            missing_bytes_per_day: advice.missing_bytes_per_day,
            add: advice.add.map(Into::into),
        }
    }
}

impl From<Addition> for AdditionView {
    fn from(addition: Addition) -> Self {
        Self {
            like_node_id: addition.like_node_id,
            nodes: addition.nodes,
            price_per_month: addition.price_per_month,
        }
    }
}
