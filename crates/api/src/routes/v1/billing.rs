//! `/api/v1/billing`: what an outside billing system tells us, and where users buy.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use storage::control::{plans, subscriptions};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::billing::{self, Message, Notice};
use crate::config::{PLAN, TENANT};
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;
use crate::time::rfc3339;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/billing/webhook",
            Access::Public,
            post(webhook),
        )
        .describe(
            Description::new("A billing system says what a tenant has paid for.")
                .header("webhook-id", "The event's; the same when it is told again.")
                .header("webhook-timestamp", "When it was signed, Unix seconds.")
                .header("webhook-signature", "As Standard Webhooks says.")
                .takes::<Notice>()
                .gives::<NoticeResponse>(200)
                .refuses(&[401, 404, 409]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/billing/checkout",
            Access::User,
            post(checkout),
        )
        .describe(
            Description::new("Where the caller buys a plan.")
                .takes::<CheckoutRequest>()
                .or_nothing()
                .gives::<CheckoutResponse>(200)
                .refuses(&[404]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/billing/subscription",
            Access::User,
            get(subscription),
        )
        .describe(
            Description::new("What the caller's tenant has paid for.")
                .gives::<SubscriptionResponse>(200)
                .refuses(&[404]),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = billing::NoticeResponse)]
struct NoticeResponse {
    /// `applied`; `superseded` by a newer event; or `duplicate`.
    outcome: &'static str,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = billing::CheckoutRequest)]
struct CheckoutRequest {
    /// The page's own choice when absent.
    plan_tier: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = billing::CheckoutResponse)]
struct CheckoutResponse {
    checkout_url: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = billing::SubscriptionResponse)]
struct SubscriptionResponse {
    plan_tier: String,
    /// `active`, `past_due` or `canceled`.
    plan_status: &'static str,
    current_period_start: String,
    current_period_end: String,
}

/// The signature is over the bytes as they came.
async fn webhook(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<NoticeResponse>, ApiError> {
    let body = body?;
    let outcome = billing::receive(&app, &Message::of(&headers, &body)).await?;
    Ok(Json(NoticeResponse { outcome }))
}

async fn checkout(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CheckoutResponse>, ApiError> {
    let request = read(&body?)?;
    let page = app.config.billing.checkout_url.as_deref();
    let page = page.ok_or_else(|| ApiError::not_found("plans are not bought here"))?;
    let plan = match request.plan_tier {
        Some(plan) => existing(&app, plan).await?,
        None => String::new(),
    };
    let tenant = caller.account.tenant_id.as_str();
    let checkout_url = page.replace(TENANT, tenant).replace(PLAN, &plan);
    Ok(Json(CheckoutResponse { checkout_url }))
}

fn read(body: &Bytes) -> Result<CheckoutRequest, ApiError> {
    if body.is_empty() {
        return Ok(CheckoutRequest::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("the body is not what it should be: {error}")))
}

async fn existing(app: &App, plan: String) -> Result<String, ApiError> {
    let plans = plans::list(&app.pool).await?;
    if plans.iter().any(|known| known.id == plan) {
        return Ok(plan);
    }
    Err(ApiError::invalid("plan_tier: no such plan").because("unknown_plan"))
}

async fn subscription(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<SubscriptionResponse>, ApiError> {
    let found = subscriptions::find(&app.pool, &caller.account.tenant_id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("billing has not spoken of you"))?;
    Ok(Json(SubscriptionResponse {
        plan_tier: found.plan,
        plan_status: found.status.as_str(),
        current_period_start: rfc3339(found.period_began_at),
        current_period_end: rfc3339(found.period_ends_at),
    }))
}
