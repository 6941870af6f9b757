//! Takes telemetry whose time is over out of its tables: days of events retire, and old rows of small
//! tables are deleted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::UnixMillis;
use model::clock::Clock;
use storage::telemetry::retention::{self, EventDay, Table};
use storage::{Error, Pool};

use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::telemetry::{self as metrics, CONTEXTS};

/// Days that the gateway makes partitions for are not taken away.
const OPEN_DAYS: i32 = 8;
/// Rows that are moved or deleted in one transaction.
const BATCH_ROWS: i32 = 5000;
/// Writers, or somebody who reads, may be in the way: so often it is tried again,
const TRIES: u32 = 5;
/// after so long.
const PAUSE: Duration = Duration::from_millis(300);

/// How long what is in small tables is kept.
#[derive(Debug, Clone, Copy)]
pub struct KeptRows {
    /// What was no event.
    pub quarantine: Duration,
    /// Sums by the minute.
    pub rollups: Duration,
    /// What apps sent by the day.
    pub usage: Duration,
}

/// The job.
pub struct TelemetryRetention {
    pool: Pool,
    clock: Arc<dyn Clock>,
    kept: KeptRows,
}

impl TelemetryRetention {
    /// Its kind.
    pub const KIND: &'static str = "telemetry_retention";
    /// Its queue.
    pub const QUEUE: &'static str = "telemetry";

    /// The job, at that database.
    #[must_use]
    pub fn new(pool: Pool, clock: Arc<dyn Clock>, kept: KeptRows) -> Self {
        Self { pool, clock, kept }
    }

    async fn attempt(&self) -> Result<(), Failure> {
        let now = self.clock.now();
        for table in Table::ALL {
            self.expire(table, now).await.context("delete old rows")?;
        }
        // Before days retire: what waits for the archive keeps contexts of its age.
        let expired = self.expire_contexts(now.day()).await;
        self.retire_days(now).await?;
        Ok(expired.context("delete contexts that no event names")?)
    }

    async fn retire_days(&self, now: UnixMillis) -> Result<(), Failure> {
        let today = now.day();
        let days = retention::event_days(&self.pool, today).await;
        let mut turned = Ok(());
        for day in days.context("find the days of events")? {
            let Err(error) = self.day(day, today, now).await else {
                continue;
            };
            let is_of_this_day = error.took_too_long();
            tracing::warn!(day = day.day, error = ?error, "a day of events does not retire");
            turned = Err(error);
            // Who is in the way of one is in the way of all.
            if !is_of_this_day {
                break;
            }
        }
        Ok(turned.context("retire a day of events")?)
    }

    /// Takes away the whole of a day when nobody keeps it, else what is not kept of it.
    async fn day(&self, it: EventDay, today: i32, now: UnixMillis) -> Result<(), Error> {
        if it.has_partition && today - it.day > OPEN_DAYS {
            let retire = || retention::retire_day(&self.pool, it.day, today, now);
            if patiently(retire).await? {
                metrics::retired(1);
                return Ok(());
            }
        }
        let collect = async || retention::collect(&self.pool, it.day, today, BATCH_ROWS, now).await;
        let mut collected = 0;
        in_batches(|| patiently(&collect), |moved| collected += moved).await?;
        metrics::retired((collected > 0).into());
        Ok(())
    }

    async fn expire(&self, table: Table, now: UnixMillis) -> Result<(), Error> {
        let kept = match table {
            Table::Quarantine => self.kept.quarantine,
            Table::Rollups => self.kept.rollups,
            Table::AppUsage => self.kept.usage,
        };
        let before = now.minus(kept);
        let expire = || retention::expire(&self.pool, table, before, BATCH_ROWS.into());
        in_batches(expire, |gone| metrics::expired(table.as_str(), gone)).await
    }

    async fn expire_contexts(&self, today: i32) -> Result<(), Error> {
        for over in retention::over_contexts(&self.pool, today).await? {
            let expire = || retention::expire_contexts(&self.pool, over, BATCH_ROWS.into());
            in_batches(expire, |gone| metrics::expired(CONTEXTS, gone)).await?;
        }
        Ok(())
    }
}

/// Acts until it comes to less than a whole batch; says of each how many rows it was.
async fn in_batches<F>(act: impl Fn() -> F, mut note: impl FnMut(u64)) -> Result<(), Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    loop {
        let rows = act().await?;
        note(rows);
        if rows < BATCH_ROWS.unsigned_abs().into() {
            return Ok(());
        }
    }
}

/// Tries again while another transaction is in the way.
async fn patiently<T, F>(act: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES {
        match act().await {
            Err(Error::Contention(_)) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    act().await
}

impl Job for TelemetryRetention {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// Many rows may have to be moved.
    fn queue(&self) -> &'static str {
        Self::QUEUE
    }

    fn policy(&self) -> Policy {
        Policy {
            timeout: Duration::from_secs(6 * 3600),
            attempts_max: 50,
            backoff_max: Duration::from_secs(600),
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move {
            tokio::select! {
                () = run.stopping.cancelled() => Ok(Done::Snooze(PAUSE)),
                done = self.attempt() => done.map(|()| Done::Completed),
            }
        }
        .boxed()
    }
}
