//! `/api/v1/ops/plans`: what users may do, and who has which plan.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, put};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::UserId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit;
use storage::control::plans::{self, Limits, PlanStatus};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;

const NAME_LENGTH_MAX: usize = 64;
/// 100 years: more is no limit.
const INCLUDED_SECONDS_MAX: u64 = 100 * 366 * 24 * 3600;
/// An exabyte: more is no limit.
const INCLUDED_BYTES_MAX: u64 = 1_000_000_000_000_000_000;
const CONNECTIONS_MAX: u32 = 1_000_000;

pub(super) fn routes() -> Vec<Route> {
    let admin = |method, path, handler| Route::new(method, path, Access::ADMIN, handler);
    vec![
        Route::new(Method::GET, "/api/v1/ops/plans", Access::VIEWER, get(list))
            .describe(Description::new("Every plan.").gives::<ListResponse>(200)),
        admin(Method::PUT, "/api/v1/ops/plans/{name}", put(change)).describe(
            Description::new("Makes a plan, or changes it.")
                .takes::<ChangeRequest>()
                .says(204),
        ),
        admin(Method::PUT, "/api/v1/ops/users/{id}/plan", put(assign)).describe(
            Description::new("Gives a user a plan.")
                .takes::<AssignRequest>()
                .says(204),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = plans::ListResponse)]
struct ListResponse {
    plans: Vec<PlanView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plans::PlanView)]
struct PlanView {
    plan_tier: String,
    max_concurrent_conns: u32,
    /// Media time in a calendar month; null: as much as there is.
    included_seconds: Option<u64>,
    /// What nodes receive and send in that time; null: as much as there is.
    included_bytes: Option<u64>,
    /// Whether sessions begin when one of them is used up.
    overage_allowed: bool,
    is_default: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = plans::ChangeRequest)]
struct ChangeRequest {
    max_concurrent_conns: u32,
    /// Media time in a calendar month; null: as much as there is.
    included_seconds: Option<u64>,
    /// What nodes receive and send in that time; null: as much as there is.
    included_bytes: Option<u64>,
    /// Whether sessions begin when one of them is used up: they do unless this is false.
    #[serde(default = "allowed")]
    overage_allowed: bool,
}

const fn allowed() -> bool {
    true
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = plans::AssignRequest)]
struct AssignRequest {
    /// The default one when null.
    plan_tier: Option<String>,
    plan_status: Status,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = plans::Status)]
enum Status {
    Active,
    Inactive,
}

async fn list(State(app): State<Arc<App>>) -> Result<Json<ListResponse>, ApiError> {
    let plans = plans::list(&app.pool).await?.into_iter();
    let plans = plans.map(|plan| PlanView {
        plan_tier: plan.id,
        max_concurrent_conns: plan.limits.connections_max,
        included_seconds: plan.limits.included_seconds,
        included_bytes: plan.limits.included_bytes,
        overage_allowed: plan.limits.overage_allowed,
        is_default: plan.is_default,
    });
    Ok(Json(ListResponse {
        plans: plans.collect(),
    }))
}

async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(request): Body<ChangeRequest>,
) -> Result<StatusCode, ApiError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
    if !(1..=NAME_LENGTH_MAX).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(ApiError::invalid("the plan's name: 1 to 64 of [0-9a-z_-]"));
    }
    if request.max_concurrent_conns > CONNECTIONS_MAX {
        return Err(ApiError::invalid("max_concurrent_conns: at most 1000000"));
    }
    if request.included_seconds > Some(INCLUDED_SECONDS_MAX) {
        return Err(ApiError::invalid(
            "included_seconds: too many; null is no limit",
        ));
    }
    if request.included_bytes > Some(INCLUDED_BYTES_MAX) {
        return Err(ApiError::invalid(
            "included_bytes: too many; null is no limit",
        ));
    }
    let connections_max = request.max_concurrent_conns;
    let limits = Limits {
        connections_max,
        included_seconds: request.included_seconds,
        included_bytes: request.included_bytes,
        overage_allowed: request.overage_allowed,
    };
    let mut transaction = storage::begin(&app.pool).await?;
    plans::put(&mut *transaction, &name, &limits).await?;
    let set = caller.action("plan.set", &name);
    let detail = json!({
        "max_concurrent_conns": connections_max,
        "included_seconds": limits.included_seconds,
        "included_bytes": limits.included_bytes,
        "overage_allowed": limits.overage_allowed,
    });
    audit::record(&mut transaction, set, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(plan = name, connections_max, "A plan was set");
    Ok(StatusCode::NO_CONTENT)
}

async fn assign(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<AssignRequest>,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::not_found("no such user or no such plan");
    let user = UserId::parse(&id).map_err(|_| unknown())?;
    let status = match request.plan_status {
        Status::Active => PlanStatus::Active,
        Status::Inactive => PlanStatus::Inactive,
    };
    let plan = request.plan_tier.as_deref();
    let mut transaction = storage::begin(&app.pool).await?;
    if !plans::assign(&mut *transaction, &user, plan, status).await? {
        return Err(unknown());
    }
    let given = caller.action("user.plan", user.as_str());
    let detail = json!({"plan_tier": plan, "plan_status": status.as_str()});
    audit::record(&mut transaction, given, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, plan, status = status.as_str(), "A user was given a plan");
    Ok(StatusCode::NO_CONTENT)
}
