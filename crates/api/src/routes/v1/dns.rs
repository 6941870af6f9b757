//! `/api/v1/ops/dns`: the names of stream slots, and what the DNS has of them.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::{NodeId, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit;
use storage::control::dns::{self, Counts, Record};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::config::DnsConfig;
use crate::error::{ApiError, Code};
use crate::openapi::Description;
use crate::relay::names;
use crate::routes::Route;
use crate::state::App;
use crate::time::rfc3339;

const RECORDS_MAX: u32 = 500;
const RECORDS_DEFAULT: u32 = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/v1/ops/dns", Access::VIEWER, get(show)).describe(
            Description::new("The names of stream slots, those with trouble first.")
                .query("limit", "1 to 500; 50.")
                .gives::<ShowResponse>(200)
                .refuses(&[400]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/ops/dns/sync",
            Access::OPERATOR,
            post(sync),
        )
        .describe(
            Description::new("Has every record written again, and now.")
                .gives::<SyncResponse>(202)
                .refuses(&[409]),
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowRequest {
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dns::ShowResponse)]
struct ShowResponse {
    /// What names end with; null: slots have no names.
    zone: Option<String>,
    ttl_seconds: u32,
    keep_seconds: u32,
    /// Names that have a record.
    published: u64,
    /// Names whose record is not known to be what it should be.
    pending: u64,
    /// Of those, the ones with trouble.
    failing: u64,
    /// When a record was last written.
    published_at: Option<String>,
    records: Vec<RecordView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dns::RecordView)]
struct RecordView {
    /// What the DNS has; what it is to have when it has nothing; null when there is no zone.
    name: Option<String>,
    #[schema(value_type = String)]
    stream_id: StreamId,
    #[schema(value_type = String)]
    node_id: NodeId,
    state: RecordState,
    /// Where the name points; null: nowhere.
    host: Option<String>,
    /// Where it is being made to point; null: the record is to go.
    intended_host: Option<String>,
    published_at: Option<String>,
    /// Since when the slot has had no live session.
    idle_since: Option<String>,
    /// Attempts that failed one after the other.
    failures: u32,
    failure: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = dns::RecordState)]
enum RecordState {
    /// As it was written last.
    Published,
    /// To be written.
    Pending,
    /// To be written again after trouble.
    Failing,
}

#[derive(Serialize, ToSchema)]
#[schema(as = dns::SyncResponse)]
struct SyncResponse {
    /// Records that are written again.
    records: u64,
}

async fn show(
    State(app): State<Arc<App>>,
    query: Result<Query<ShowRequest>, QueryRejection>,
) -> Result<Json<ShowResponse>, ApiError> {
    let Query(request) = query?;
    let limit = request.limit.unwrap_or(RECORDS_DEFAULT);
    if !(1..=RECORDS_MAX).contains(&limit) {
        return Err(ApiError::invalid(format!("limit: 1 to {RECORDS_MAX}")));
    }
    let counts = dns::counts(&app.pool).await?;
    let records = dns::list(&app.pool, limit).await?;
    Ok(Json(ShowResponse::new(&app.config.dns, counts, records)))
}

async fn sync(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<(StatusCode, Json<SyncResponse>), ApiError> {
    let Some(plan) = names::plan(&app.config) else {
        let message = "slots have no names: set dns.zone in api's configuration";
        return Err(ApiError::new(Code::Conflict, message).because("no_zone"));
    };
    let mut transaction = storage::begin(&app.pool).await?;
    let records = dns::distrust(&mut transaction).await?;
    let action = caller.action("dns.sync", plan.zone);
    let detail = json!({"records": records});
    audit::record(&mut transaction, action, &detail, app.now()).await?;
    names::look(&app, &mut transaction).await?;
    storage::commit(transaction).await?;
    Ok((StatusCode::ACCEPTED, Json(SyncResponse { records })))
}

impl ShowResponse {
    fn new(config: &DnsConfig, counts: Counts, records: Vec<Record>) -> Self {
        let zone = config.zone.as_deref();
        let records = records.into_iter();
        Self {
            zone: config.zone.clone(),
            ttl_seconds: config.ttl_seconds,
            keep_seconds: config.keep_seconds,
            published: counts.published,
            pending: counts.pending,
            failing: counts.failing,
            published_at: counts.published_at.map(rfc3339),
            records: records
                .map(|record| RecordView::new(zone, record))
                .collect(),
        }
    }
}

impl RecordView {
    fn new(zone: Option<&str>, record: Record) -> Self {
        let (name, host) = record.published.unzip();
        Self {
            name: name.or_else(|| zone.map(|zone| format!("{}.{zone}", record.label))),
            stream_id: record.stream_id,
            node_id: record.node_id,
            state: match (record.is_settled, record.failures) {
                (true, _) => RecordState::Published,
                (false, 0) => RecordState::Pending,
                (false, _) => RecordState::Failing,
            },
            host,
            intended_host: record.intended_host,
            published_at: record.published_at.map(rfc3339),
            idle_since: record.idle_at.map(rfc3339),
            failures: record.failures,
            failure: record.failure,
        }
    }
}
