//! Workers are killed in the middle of jobs, and their database too, and what came of it.
//!
//! Half of the jobs are fenced: their effect and their completion are one transaction. The
//! others have their effect first and complete after it, as a job does that calls a stranger.

mod chaos;
mod finding;
pub mod worker;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use model::UnixMillis;
use serde_json::json;
use storage::queue::{NewJob, Queue, Retention};
use testkit::ledger::Ledger;
use tokio::task::JoinHandle;

use crate::postgres::Postgres;
use chaos::Chaos;
pub use finding::Finding;

/// How much there is at the time.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Jobs in all.
    pub jobs: u32,
    /// Worker processes.
    pub workers: usize,
    /// Between two kills, about.
    pub kill_interval: Duration,
    /// How often PostgreSQL is killed and started again.
    pub restarts: u32,
    /// Decides who dies when.
    pub seed: u64,
    /// The program that is a worker when it is told to, see [`worker::run`].
    pub program: PathBuf,
}

/// How long workers may be silent.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How long everything may take at all.
const PATIENCE: Duration = Duration::from_secs(900);
const BATCH: u32 = 500;
/// This share of the jobs comes while workers die, one in so many.
const LATE_SHARE: u32 = 10;
const LATE_BATCH: u32 = 50;
const WATCH_INTERVAL: Duration = Duration::from_millis(200);
const CONNECTIONS: u32 = 4;

/// Runs the drill with its files in `scratch`.
///
/// # Errors
/// When the database or a worker cannot be started, or jobs do not end.
pub fn run(plan: &Plan, scratch: &Path) -> anyhow::Result<Finding> {
    std::fs::create_dir_all(scratch)?;
    let directory = tempfile::Builder::new()
        .prefix("jobs-")
        .tempdir_in(scratch)?;
    let directory = directory.path();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory, readable)?;
    let postgres = Postgres::start(directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(drill(plan, postgres, directory))
}

async fn drill(plan: &Plan, postgres: Postgres, directory: &Path) -> anyhow::Result<Finding> {
    let url = postgres.url();
    let pool = storage::connect_queue("drill", &url, CONNECTIONS)?;
    storage::migrate(&pool).await?;
    let queue = Queue::new(pool);
    queue.make_history(Retention::default()).await?;
    let mut ledger = Ledger::create(&url).await?;
    let late = plan.jobs / LATE_SHARE;
    enqueue(&queue, 0..plan.jobs - late, BATCH).await?;

    let started = Instant::now();
    let mut chaos = Chaos::start(plan, postgres, directory)?;
    let last = enqueue_late(&queue, plan.jobs - late..plan.jobs);
    let mut overdue_max = Duration::ZERO;
    let mut is_enqueued = false;
    loop {
        ensure!(started.elapsed() < PATIENCE, "jobs do not end");
        tokio::time::sleep(WATCH_INTERVAL).await;
        is_enqueued = is_enqueued || last.is_finished();
        let left = left(&queue).await;
        let share = left.map_or(0.0, |left| 1.0 - left as f64 / f64::from(plan.jobs));
        chaos.turn(share)?;
        if let (Some(overdue), true) = (overdue(&url).await, chaos.is_settled()) {
            overdue_max = overdue_max.max(overdue);
        }
        if is_enqueued && left == Some(0) {
            break;
        }
    }
    last.await??;
    let took = started.elapsed();
    let (kills, restarts, _postgres) = chaos.end()?;
    if ledger.tally().await.is_err() {
        ledger = Ledger::open(&url).await?;
    }
    let tally = ledger.tally().await?;
    Ok(Finding {
        jobs: plan.jobs,
        workers: plan.workers,
        kills,
        restarts,
        took,
        tally,
        discarded: queue.discarded().await?,
        overdue_max,
    })
}

/// Jobs that have not finished; none while the database is away.
async fn left(queue: &Queue) -> Option<u64> {
    let depths = queue.depth().await.ok()?;
    Some(depths.iter().map(|depth| depth.jobs).sum())
}

async fn overdue(url: &str) -> Option<Duration> {
    Ledger::open(url).await.ok()?.overdue().await.ok()
}

fn job(number: u32) -> NewJob {
    let kind = if number.is_multiple_of(2) {
        worker::FENCED
    } else {
        worker::PLAIN
    };
    NewJob {
        arguments: json!({"number": number}),
        ..NewJob::new(kind)
    }
}

async fn enqueue(
    queue: &Queue,
    numbers: std::ops::Range<u32>,
    batch: u32,
) -> Result<(), storage::Error> {
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + batch);
        let jobs: Vec<NewJob> = (next..end).map(job).collect();
        queue.enqueue_many(&jobs).await?;
        next = end;
    }
    Ok(())
}

/// Enqueues while the database may be away: what was perhaps taken is sent again, under the
/// same keys.
fn enqueue_late(queue: &Queue, numbers: std::ops::Range<u32>) -> JoinHandle<anyhow::Result<()>> {
    let queue = queue.clone();
    tokio::spawn(async move {
        let started = Instant::now();
        let far = UnixMillis(i64::MAX / 2000);
        let mut next = numbers.start;
        while next < numbers.end {
            let end = numbers.end.min(next + LATE_BATCH);
            let keyed = |number: u32| job(number).idempotent(&number.to_string(), far);
            let jobs: Vec<NewJob> = (next..end).map(keyed).collect();
            match queue.enqueue_many(&jobs).await {
                Ok(_) => next = end,
                Err(error) => {
                    ensure!(error.is_retryable(), "enqueue: {error:?}");
                    ensure!(started.elapsed() < PATIENCE, "the database stays away");
                    tokio::time::sleep(WATCH_INTERVAL).await;
                }
            }
        }
        Ok(())
    })
}
