//! HTTP for viewers, of what is live and what is kept, and for apps that send events and ask about
//! them.

mod cors;
mod error;
mod ingest;
mod live;
mod report;
mod stats;
mod watched;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use ipnet::IpNet;
use serde_json::{Value, json};
use storage::Pool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::events::Intake;
use crate::live::Live;
use crate::queries::Queries;
use error::Error;
use watched::{id, watched};

/// A comment this often keeps proxies from closing a quiet stream.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Reports made at the same time: each holds up to 60 000 rows for a moment.
pub(crate) const REPORTS_MAX: usize = 4;

/// What the routes share; a request holds it several times, so holding it is cheap.
#[derive(Clone)]
pub(crate) struct State(Arc<Parts>);

/// All that it is made of.
pub(crate) struct Parts {
    pub(crate) access: Arc<Access>,
    pub(crate) live: Arc<Live>,
    /// Where reports come from; absent: nothing is kept.
    pub(crate) pool: Option<Pool>,
    /// Places for reports that are being made.
    pub(crate) reports: Arc<Semaphore>,
    pub(crate) stopping: CancellationToken,
    /// None: no app sends anything here.
    pub(crate) intake: Option<Arc<Intake>>,
    /// None: so nobody asks about any.
    pub(crate) queries: Option<Arc<Queries>>,
    pub(crate) trusted_proxies: Arc<[IpNet]>,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/sessions/{id}/live", get(live::live))
        .route("/v1/sessions/{id}/report", get(report::report))
        .route(
            "/v1/ingest/{org}/{app}",
            post(ingest::take).options(ingest::preflight),
        )
        .route(
            "/v1/stats/{org}/{app}",
            get(stats::stats).options(stats::preflight),
        )
        .route(
            "/v1/usage/{org}/{app}",
            get(stats::usage).options(stats::preflight),
        )
        .route(
            "/v1/export/{org}/{app}",
            get(stats::events).options(stats::preflight),
        )
        .fallback(async |request: Request| Error::NotFound.response(id(request.extensions())))
        .method_not_allowed_fallback(async |request: Request| {
            Error::MethodNotAllowed.response(id(request.extensions()))
        })
        .layer(from_fn_with_state(Arc::default(), watched))
        .with_state(state)
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
