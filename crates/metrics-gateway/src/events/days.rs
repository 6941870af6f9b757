//! The days that events lie in: partitions are made before they are needed.

use model::UnixMillis;
use storage::Pool;
use storage::telemetry::days;

use crate::metrics::events as metrics;

/// Days that have a partition before they begin. Events are a day ahead at most, so the job may
/// be away for days.
const AHEAD: i32 = 7;
/// Days past that have one: what comes later still lies in the default partition.
const BEHIND: i32 = 7;
/// Nobody needs to know more exactly.
const STRAY_COUNTED_MAX: u32 = 10_000;

/// What was made, and what has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) partitions: u32,
    pub(crate) stray: u64,
}

/// Makes the partitions that are missing.
pub(crate) async fn make(pool: &Pool, now: UnixMillis) -> Result<Made, storage::Error> {
    let today = now.day();
    let partitions = days::make(pool, today - BEHIND, today + AHEAD).await?;
    if partitions > 0 {
        tracing::info!(partitions, "partitions for events were made");
    }
    let stray = days::stray(pool, STRAY_COUNTED_MAX).await?;
    metrics::stray(stray);
    Ok(Made { partitions, stray })
}
