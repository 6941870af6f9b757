//! `/api/v1/relay/health`: a client asks whether its session still lives.
//!
//! The contract has clients report here. Nothing of what they report is believed: the
//! node's heartbeat renews the lease, and its counters are what is used. So the
//! `X-Relay-Auth` that the plugin sends is not looked at either.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Json};
use http::Method;
use model::SessionId;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use storage::control::{chains, sessions};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::limits::Class;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;

/// A week.
const UPTIME_SECONDS_MAX: u64 = 604_800;
const INSTANCE_LENGTH_MAX: usize = 64;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/relay/health",
            Access::User,
            post(health),
        )
        .counted_as(Class::Health)
        .describe(
            Description::new("Whether a session still lives: 404 once it is over.")
                .takes::<HealthRequest>()
                .header("X-Relay-Auth", "Not looked at.")
                .gives::<HealthResponse>(200)
                .refuses(&[404]),
        ),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = health::HealthRequest)]
struct HealthRequest {
    session_id: String,
    instance_id: Option<String>,
    session_uptime_seconds: Option<u64>,
    observed_at: Option<String>,
    #[serde(default, rename = "ingest_active")]
    #[schema(value_type = Option<Object>)]
    _ingest_active: Option<IgnoredAny>,
    #[serde(default, rename = "egress_active")]
    #[schema(value_type = Option<Object>)]
    _egress_active: Option<IgnoredAny>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = health::HealthResponse)]
struct HealthResponse {
    ok: bool,
}

impl HealthRequest {
    fn check(&self) -> Result<(), ApiError> {
        let instance = self.instance_id.as_deref().unwrap_or_default();
        if instance.len() > INSTANCE_LENGTH_MAX {
            return Err(ApiError::invalid("instance_id: at most 64 bytes"));
        }
        if self.session_uptime_seconds > Some(UPTIME_SECONDS_MAX) {
            return Err(ApiError::invalid("session_uptime_seconds: 0 to 604800"));
        }
        let is_time = |text: &String| text.parse::<jiff::Timestamp>().is_ok();
        if self.observed_at.as_ref().is_some_and(|text| !is_time(text)) {
            return Err(ApiError::invalid("observed_at: a time of RFC 3339"));
        }
        Ok(())
    }
}

/// 404 says that the session is over, and the client stops asking. It may name a session
/// whose stream has moved to another since: that one counts.
async fn health(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<HealthRequest>,
) -> Result<Json<HealthResponse>, ApiError> {
    request.check()?;
    let over = || ApiError::not_found("no such session, or it is over");
    let id = SessionId::parse(&request.session_id).map_err(|_| over())?;
    let record = sessions::find(&app.pool, &id).await?.ok_or_else(over)?;
    let session = record.session;
    if session.user_id != caller.account.user_id {
        return Err(over());
    }
    if !session.state.is_live() && chains::live(&app.pool, &id).await?.is_none() {
        return Err(over());
    }
    Ok(Json(HealthResponse { ok: true }))
}
