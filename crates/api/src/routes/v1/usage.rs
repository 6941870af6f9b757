//! `/api/v1/usage`: what a user has used of their plan, and when.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Extension, Json};
use http::Method;
use model::UnixMillis;
use serde::{Deserialize, Serialize};
use storage::control::usage_history::{self, Carried};
use utoipa::ToSchema;

use crate::accounts::standing::{self, Cycle};
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::limits::Class;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;
use crate::time::rfc3339;

const HOUR_MS: i64 = 3_600_000;
const DAYS_MAX: u32 = 366;
const DAYS_DEFAULT: u32 = 31;
const HOURS_MAX: u32 = 744;
const HOURS_DEFAULT: u32 = 48;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/usage/current",
            Access::User,
            get(current),
        )
        .counted_as(Class::Usage)
        .describe(Description::new("What is used of the plan in this cycle.").gives::<Cycle>(200)),
        Route::new(
            Method::GET,
            "/api/v1/usage/history",
            Access::User,
            get(history),
        )
        .counted_as(Class::Usage)
        .describe(
            Description::new("What was used by the day or by the hour, UTC, the oldest first.")
                .query("by", "`day` or `hour`; `day`.")
                .query(
                    "last",
                    "So many of them, this one included: 1 to 366 days (31), or to 744 hours (48).",
                )
                .gives::<History>(200)
                .refuses(&[400]),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryRequest {
    #[serde(default)]
    by: Span,
    last: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Span {
    #[default]
    Day,
    Hour,
}

#[derive(Serialize, ToSchema)]
#[schema(as = usage::History)]
struct History {
    /// Those in which something was used. The one that runs lacks what was used in the last minute or two.
    spans: Vec<SpanView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = usage::Span)]
struct SpanView {
    began_at: String,
    /// Media time.
    seconds: u64,
    /// What nodes received.
    ingress_bytes: u64,
    /// What nodes sent.
    egress_bytes: u64,
}

async fn history(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<HistoryRequest>, QueryRejection>,
) -> Result<Json<History>, ApiError> {
    let Query(request) = query?;
    let (span, span_ms, most, usual) = match request.by {
        Span::Day => (
            usage_history::Span::Day,
            24 * HOUR_MS,
            DAYS_MAX,
            DAYS_DEFAULT,
        ),
        Span::Hour => (usage_history::Span::Hour, HOUR_MS, HOURS_MAX, HOURS_DEFAULT),
    };
    let last = request.last.unwrap_or(usual);
    if !(1..=most).contains(&last) {
        return Err(ApiError::invalid(format!("last: 1 to {most}")));
    }
    let now = app.now().0;
    let since = UnixMillis(now - now.rem_euclid(span_ms) - i64::from(last - 1) * span_ms);
    let user = &caller.account.user_id;
    let spans = usage_history::of_user(&app.pool, user, span, since, last).await?;
    Ok(Json(History {
        spans: spans.into_iter().map(Into::into).collect(),
    }))
}

impl From<Carried> for SpanView {
    fn from(carried: Carried) -> Self {
        Self {
            began_at: rfc3339(carried.began_at),
            seconds: carried.published_ms / 1000,
            ingress_bytes: carried.ingress_bytes,
            egress_bytes: carried.egress_bytes,
        }
    }
}

async fn current(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Cycle>, ApiError> {
    Ok(Json(standing::cycle(&app, &caller.account.user_id).await?))
}
