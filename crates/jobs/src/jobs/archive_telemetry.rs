//! Archives and drops the days of telemetry that have retired.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use storage::Pool;
use storage::telemetry::retired;
use uuid::Uuid;

use super::TelemetryRetention;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::telemetry as metrics;
use crate::shelf::{Shelf, Unfinished};

/// After a stop of the service.
const SNOOZE: Duration = Duration::from_secs(60);

/// The job.
pub struct ArchiveTelemetry {
    pool: Pool,
    shelf: Shelf,
}

impl ArchiveTelemetry {
    /// Its kind.
    pub const KIND: &'static str = "archive_telemetry";

    /// The job, with what it does with retired tables.
    #[must_use]
    pub fn new(pool: Pool, shelf: Shelf) -> Self {
        Self { pool, shelf }
    }

    /// Every table once; one that fails is left for the next attempt, and the others go on.
    async fn attempt(&self) -> Result<(), Failure> {
        let (holder, mut after, mut failure) = (Uuid::new_v4(), 0, None);
        while let Some(held) = self.shelf.take(holder, after).await.map_err(retry)? {
            after = held.table.id;
            let Err(error) = self.shelf.finish(&held).await else {
                continue;
            };
            metrics::archive_failed(&error);
            tracing::warn!(%error, "a day of telemetry could not be archived; it stays where it is");
            self.shelf.put_back(&held).await.map_err(retry)?;
            failure.get_or_insert(error);
        }
        let waiting = retired::waiting(&self.pool).await;
        metrics::waiting(waiting.context("count what waits")?);
        failure.map_or(Ok(()), |error| Err(retry(error)))
    }
}

fn retry(error: Unfinished) -> Failure {
    Failure::Retry(error.into())
}

impl Job for ArchiveTelemetry {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// It is as long as days are large.
    fn queue(&self) -> &'static str {
        TelemetryRetention::QUEUE
    }

    fn policy(&self) -> Policy {
        Policy {
            timeout: Duration::from_secs(12 * 3600),
            attempts_max: 50,
            backoff_max: Duration::from_secs(600),
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move {
            tokio::select! {
                () = run.stopping.cancelled() => Ok(Done::Snooze(SNOOZE)),
                done = self.attempt() => done.map(|()| Done::Completed),
            }
        }
        .boxed()
    }
}
