//! `GET /api/v1/ops/audit`: who did what, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::control::audit::{self, Entry, Filter};
use utoipa::ToSchema;

use crate::auth::Access;
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;
use crate::time::rfc3339;

const ENTRIES_MAX: u32 = 500;
const ENTRIES_DEFAULT: u32 = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/v1/ops/audit", Access::VIEWER, get(list)).describe(
            Description::new("Who did what, the newest first.")
                .query("action", "Such as `node.drain`.")
                .query("subject", "What it was done to.")
                .query(
                    "before",
                    "Only older ones than this: `next_before` of an answer.",
                )
                .query("limit", "1 to 500; 50.")
                .gives::<ListResponse>(200)
                .refuses(&[400]),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListRequest {
    action: Option<String>,
    subject: Option<String>,
    before: Option<i64>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = audit::ListResponse)]
struct ListResponse {
    entries: Vec<EntryView>,
    /// Ask with `before` set to this for older ones; absent when there are none.
    next_before: Option<i64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = audit::EntryView)]
struct EntryView {
    id: i64,
    at: String,
    actor: String,
    action: String,
    subject: String,
    reason: Option<String>,
    detail: Value,
}

async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListRequest>, QueryRejection>,
) -> Result<Json<ListResponse>, ApiError> {
    let Query(request) = query?;
    let limit = request.limit.unwrap_or(ENTRIES_DEFAULT);
    if !(1..=ENTRIES_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: 1 to {ENTRIES_MAX}")));
    }
    let filter = Filter {
        action: request.action.as_deref(),
        subject: request.subject.as_deref(),
        before: request.before,
    };
    let entries = audit::list(&app.pool, filter, limit).await?;
    let is_full = entries.len() == limit as usize;
    Ok(Json(ListResponse {
        next_before: entries.last().filter(|_| is_full).map(|entry| entry.id),
        entries: entries.into_iter().map(Into::into).collect(),
    }))
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: rfc3339(entry.at),
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            reason: entry.reason,
            detail: entry.detail,
        }
    }
}
