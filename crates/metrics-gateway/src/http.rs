//! HTTP for viewers: what is live, and what is kept.

mod error;
mod live;
mod report;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use http::HeaderValue;
use serde_json::{Value, json};
use storage::Pool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::live::Live;
use error::Error;

/// A comment this often keeps proxies from closing a quiet stream.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Reports made at the same time: each holds up to 60 000 rows for a moment.
pub(crate) const REPORTS_MAX: usize = 4;

/// What the routes share.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) access: Arc<Access>,
    pub(crate) live: Arc<Live>,
    /// Where reports come from; absent: nothing is kept.
    pub(crate) pool: Option<Pool>,
    /// Places for reports that are being made.
    pub(crate) reports: Arc<Semaphore>,
    pub(crate) stopping: CancellationToken,
}

/// The number of a request, for people who compare what they see with the logs.
#[derive(Debug, Clone)]
struct RequestId(String);

pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/sessions/{id}/live", get(live::live))
        .route("/v1/sessions/{id}/report", get(report::report))
        .fallback(async |request: Request| Error::NotFound.response(id(&request)))
        .method_not_allowed_fallback(async |request: Request| {
            Error::MethodNotAllowed.response(id(&request))
        })
        .layer(from_fn(numbered))
        .with_state(state)
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Gives each request its number, and tells the caller.
async fn numbered(mut request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let header = HeaderValue::from_str(&id).ok();
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    if let Some(header) = header {
        response.headers_mut().insert("x-request-id", header);
    }
    response
}

fn id(request: &Request) -> &str {
    let id = request.extensions().get::<RequestId>();
    id.map_or("", |id| id.0.as_str())
}
