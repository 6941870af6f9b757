//! `/api/v1/ops/nodes/{id}/budget`: what a node's provider offers and what is left of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::Method;
use model::{NodeId, UnixMillis, UserId};
use placement::{BandwidthPolicy, Budget, Held, Outlook, Restriction};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage::Transaction;
use storage::control::audit::Actor;
use storage::control::{audit, budgets, nodes};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::fleet::budget::{self, Open};
use crate::fleet::standing::{self, Judge};
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

/// Events in an answer, the newest first.
const EVENTS_MAX: u32 = 50;
/// The largest reading of a provider, bytes.
const USED_BYTES_MAX: u64 = 1_000_000_000_000_000_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/ops/nodes/{id}/budget",
            Access::VIEWER,
            get(show),
        )
        .describe(
            Description::new("What a node's provider offers and what is left of it.")
                .gives::<BudgetView>(200),
        ),
        Route::new(
            Method::POST,
            "/api/v1/ops/nodes/{id}/budget",
            Access::OPERATOR,
            post(set),
        )
        .describe(
            Description::new("Says what a node's provider offers; null: nothing is known.")
                .takes::<SetRequest>()
                .gives::<Option<BudgetView>>(200),
        ),
        Route::new(
            Method::POST,
            "/api/v1/ops/nodes/{id}/budget/reconcile",
            Access::OPERATOR,
            post(reconcile),
        )
        .describe(
            Description::new("Takes the provider's own reading.")
                .takes::<ReconcileRequest>()
                .gives::<BudgetView>(200),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = budgets::BudgetView)]
struct BudgetView {
    #[schema(value_type = String)]
    node_id: NodeId,
    #[schema(value_type = Object)]
    policy: BandwidthPolicy,
    /// Bytes used of the allowance, as the provider counts them.
    used_bytes: u64,
    /// Bytes held for live sessions.
    held_bytes: u64,
    /// How much of what is planned with will be used when the window ends; above 1 it
    /// does not last.
    projected_ratio: f64,
    #[schema(value_type = String)]
    restriction: Restriction,
    #[schema(value_type = Object)]
    outlook: Outlook,
    settled_at: String,
    events: Vec<EventView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = budgets::EventView)]
struct EventView {
    at: String,
    /// Absent when the control plane did it by itself.
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    kind: String,
    details: Value,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = budgets::SetRequest)]
struct SetRequest {
    /// Null takes the budget away.
    #[schema(value_type = Option<Object>)]
    policy: Option<BandwidthPolicy>,
}

/// What the provider's panel shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = budgets::ReconcileRequest)]
struct ReconcileRequest {
    /// Bytes used of the allowance; absent: as we count.
    used_bytes: Option<u64>,
    /// Whether the provider restricts the node; absent: as we know it.
    restricted: Option<bool>,
}

async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<BudgetView>, ApiError> {
    let id = node_id(&id)?;
    view(&app, &id).await.map(Json)
}

async fn set(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<SetRequest>,
) -> Result<Json<Option<BudgetView>>, ApiError> {
    let id = node_id(&id)?;
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    nodes::lock(&mut transaction, &id)
        .await?
        .ok_or_else(unknown)?;
    let Some(policy) = request.policy else {
        return remove(&app, transaction, &caller, &id).await;
    };
    policy
        .check()
        .map_err(|error| ApiError::invalid(format!("policy.{error}")))?;
    let details = json!({ "policy": policy });
    budget::set(&mut transaction, &id, policy, now).await?;
    let actor = Some(&caller.account.user_id);
    let set = caller.action("node.budget.set", id.as_str());
    audit::record(&mut transaction, set, &details, now).await?;
    budget::record(&mut transaction, &id, actor, "policy", details, now).await?;
    judge(&app, &mut transaction, &caller, &id).await?;
    storage::commit(transaction).await?;
    tracing::info!(node.id = %id, "A node's byte budget was set");
    Ok(Json(Some(view(&app, &id).await?)))
}

async fn remove(
    app: &App,
    mut transaction: Transaction,
    caller: &Caller,
    id: &NodeId,
) -> Result<Json<Option<BudgetView>>, ApiError> {
    if budgets::remove(&mut transaction, id).await? {
        let actor = Some(&caller.account.user_id);
        let now = app.now();
        let removed = caller.action("node.budget.remove", id.as_str());
        audit::record(&mut transaction, removed, &json!({}), now).await?;
        budget::record(&mut transaction, id, actor, "removed", json!({}), now).await?;
        judge(app, &mut transaction, caller, id).await?;
        storage::commit(transaction).await?;
        tracing::info!(node.id = %id, "A node's byte budget was taken away");
    }
    Ok(Json(None))
}

async fn reconcile(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<ReconcileRequest>,
) -> Result<Json<BudgetView>, ApiError> {
    let id = node_id(&id)?;
    let now = app.now();
    if request
        .used_bytes
        .is_some_and(|bytes| bytes > USED_BYTES_MAX)
    {
        return Err(ApiError::invalid("used_bytes: 0 to 10^18"));
    }
    let mut transaction = storage::begin(&app.pool).await?;
    nodes::lock(&mut transaction, &id)
        .await?
        .ok_or_else(unknown)?;
    let open = Open::lock(&mut transaction, &id).await?;
    let mut open = open.ok_or_else(no_budget)?;
    open.settle(now);
    let details = apply(&mut open, &request, now);
    open.save(&mut transaction, &id, now).await?;
    let actor = Some(&caller.account.user_id);
    let reconciled = caller.action("node.budget.reconcile", id.as_str());
    audit::record(&mut transaction, reconciled, &details, now).await?;
    budget::record(&mut transaction, &id, actor, "reconciled", details, now).await?;
    judge(&app, &mut transaction, &caller, &id).await?;
    storage::commit(transaction).await?;
    tracing::info!(node.id = %id, "A node's byte budget was reconciled");
    Ok(Json(view(&app, &id).await?))
}

/// What a budget lets through is part of what its node is: starts see both at once.
async fn judge(
    app: &App,
    transaction: &mut Transaction,
    caller: &Caller,
    id: &NodeId,
) -> Result<(), ApiError> {
    let actor = Actor::User(&caller.account.user_id);
    let judge = Judge::by(actor, &app.config.fleet, app.now());
    standing::judge(transaction, id, &judge, |_| {}).await?;
    Ok(())
}

/// Takes the provider's word, and says what it replaced.
fn apply(open: &mut Open, request: &ReconcileRequest, now: UnixMillis) -> Value {
    let ours = open.account.used_bytes(&open.policy, now);
    let error_ratio = request
        .used_bytes
        .map(|theirs| open.account.reconcile(&open.policy, theirs, now));
    let before = open.account.gate().restriction();
    match request.restricted {
        Some(true) => open.account.restrict(&open.policy),
        Some(false) => open.account.lift(),
        None => {}
    }
    json!({
        "ours_bytes": ours,
        "theirs_bytes": request.used_bytes,
        "error_ratio": error_ratio,
        "from": before,
        "to": open.account.gate().restriction(),
    })
}

async fn view(app: &App, id: &NodeId) -> Result<BudgetView, ApiError> {
    let row = budget::find(&app.pool, id).await?.ok_or_else(no_budget)?;
    let budget: Budget = budget::read(&row).ok_or_else(ApiError::internal)?;
    let events = budgets::events(&app.pool, id, EVENTS_MAX).await?;
    Ok(BudgetView {
        node_id: id.clone(),
        used_bytes: budget.outlook.used_bytes,
        held_bytes: budget.held.bytes,
        projected_ratio: budget.projected_ratio(Held::default(), app.now()),
        restriction: budget.outlook.restriction,
        policy: budget.policy,
        outlook: budget.outlook,
        settled_at: rfc3339(row.settled_at),
        events: events.into_iter().map(event).collect(),
    })
}

fn event(event: budgets::Event) -> EventView {
    EventView {
        at: rfc3339(event.at),
        user_id: event.user_id,
        kind: event.kind,
        details: event.details,
    }
}

fn node_id(text: &str) -> Result<NodeId, ApiError> {
    NodeId::parse(text).map_err(|_| unknown())
}

fn unknown() -> ApiError {
    ApiError::not_found("no such node")
}

fn no_budget() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "this node has no byte budget; `streamhaul nodes budget set` describes one",
    )
}
