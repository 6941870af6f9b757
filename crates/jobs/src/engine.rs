//! Claim, run, finish: the machine that the jobs run on.
//!
//! ```text
//! schedule ──slot──▶ queue ◀──gRPC Enqueue
//!                      │ claim (N workers, lease 30 s)
//!                      ▼
//! keeper ──extends──▶ worker ──run──▶ complete │ retry │ snooze │ discard
//! housekeeping: promote what is due, rescue what fell silent, trim, measure
//! ```
//!
//! Every replica runs all of it; the queue's locks make that safe. Nothing here
//! gives up: a database that is away is waited for, and only the beginning and
//! the end of an outage are logged.

pub mod backoff;
mod claim;
mod housekeeping;
mod keeper;
mod outage;
pub mod schedule;
mod wake;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use storage::queue::{Queue, Retention};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job::Registry;
use keeper::Keeper;
pub(crate) use outage::Outage;
use schedule::Schedule;

/// How long a worker that gave its job back may take to say so.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs at the same time.
    pub workers: usize,
    /// How long a worker may be silent before its job is rescued.
    pub lease: Duration,
    /// How often it looks for work when nobody says that there is some.
    pub poll: Duration,
    /// How long running jobs may take to finish after a stop.
    pub finish_grace: Duration,
    /// How long finished jobs are kept.
    pub retention: Retention,
    /// What runs by itself.
    pub schedules: Vec<Schedule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 4,
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            finish_grace: Duration::from_secs(10),
            retention: Retention {
                completed: Duration::from_secs(3600),
                discarded: Duration::from_secs(7 * 24 * 3600),
            },
            schedules: Vec::new(),
        }
    }
}

/// What the engine's loops share.
struct Core {
    queue: Queue,
    registry: Registry,
    settings: Settings,
    /// This process among the workers.
    name: String,
    slots: Arc<Semaphore>,
    wake: Notify,
    keeper: Keeper,
    running: TaskTracker,
    /// No new work.
    stopping: CancellationToken,
    /// Jobs that still run give up.
    abandon: CancellationToken,
    /// The helping loops end.
    ended: CancellationToken,
}

/// Runs jobs until `stopping`, then lets the running ones finish or gives them back uncounted.
pub async fn run(
    queue: Queue,
    registry: Registry,
    settings: Settings,
    stopping: CancellationToken,
) {
    let core = Arc::new(Core {
        queue,
        registry,
        name: worker_name(),
        slots: Arc::new(Semaphore::new(settings.workers)),
        settings,
        wake: Notify::new(),
        keeper: Keeper::default(),
        running: TaskTracker::new(),
        stopping,
        abandon: CancellationToken::new(),
        ended: CancellationToken::new(),
    });
    let helpers = TaskTracker::new();
    helpers.spawn(wake::listen(core.clone()));
    helpers.spawn(schedule::run(core.clone()));
    helpers.spawn(keeper::run(core.clone()));
    housekeeping::spawn(&core, &helpers);
    claim::run(&core).await;
    drain(&core).await;
    core.ended.cancel();
    helpers.close();
    helpers.wait().await;
}

async fn drain(core: &Core) {
    core.running.close();
    let grace = core.settings.finish_grace;
    if tokio::time::timeout(grace, core.running.wait())
        .await
        .is_ok()
    {
        return;
    }
    tracing::info!("jobs still run at the end of the grace: giving them back");
    core.abandon.cancel();
    if tokio::time::timeout(RETURN_TIMEOUT, core.running.wait())
        .await
        .is_err()
    {
        tracing::warn!("some jobs could not be given back: they will be rescued");
    }
}

fn worker_name() -> String {
    uuid::Uuid::now_v7().to_string()
}
