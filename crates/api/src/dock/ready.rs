//! Keeps wanted connections ready: whichever has no session gets one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storage::control::connections::{self, Wanted};
use tokio::time::MissedTickBehavior;

use crate::error::ApiError;
use crate::relay::request::StartRequest;
use crate::relay::start;
use crate::state::App;

/// Between two looks. A connection that is added is provisioned at once; this is for
/// those whose session ended, or that no node could take.
const INTERVAL: Duration = Duration::from_secs(5);
/// Connections provisioned in one look.
const CONNECTIONS_MAX: u32 = 64;

/// Looks again and again. Replicas may do so at once: a connection has one session.
pub(crate) async fn keep(app: Arc<App>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        // Readiness tells when the database is away.
        let missing = connections::unprovisioned(&app.pool, CONNECTIONS_MAX).await;
        for wanted in missing.unwrap_or_default() {
            if let Err(error) = provision(&app, &wanted).await {
                tracing::debug!(
                    connection = wanted.name,
                    ?error,
                    "A connection has no session"
                );
            }
        }
    }
}

/// Gives a connection a session unless it has one.
pub(crate) async fn provision(app: &App, wanted: &Wanted) -> Result<(), ApiError> {
    let region = wanted.region.as_ref().map(ToString::to_string);
    let request = StartRequest::from_json(json!({
        "connection_id": wanted.name,
        "region_preference": region,
    }))?;
    start::start(app, &wanted.account, &request, None).await?;
    Ok(())
}
