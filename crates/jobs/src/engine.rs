//! Claim, run, finish: the machine that the jobs run on.
//!
//! ```text
//! leader ─▶ schedule ──slot──▶ queue ◀──gRPC Enqueue
//!                                │ claim (a claimer and N workers per queue, lease 30 s)
//!                                ▼
//! keeper ──extends, cancels──▶ worker ──run──▶ settler ──▶ complete, many at once │ retry │ …
//! housekeeping: promote what is due, rescue what fell silent, make and drop history, measure
//! ```
//!
//! Every replica runs all of it; the queue's locks make that safe. Schedules are looked after
//! by one of them, the leader. Nothing here gives up: a database that is away is waited for,
//! and only the beginning and the end of an outage are logged.

pub mod backoff;
pub mod cadence;
mod claim;
mod housekeeping;
mod keeper;
mod leader;
mod outage;
pub mod schedule;
mod settle;
mod stragglers;
mod wake;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::queue::{Frontier, QUEUE_DEFAULT, Queue, Retention};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job::Registry;
use keeper::Keeper;
use leader::Leadership;
pub(crate) use leader::SCHEDULER;
pub(crate) use outage::Outage;
use schedule::Schedule;
use settle::Settler;

/// How long a worker that gave its job back may take to say so.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);

/// How the engine runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs of the default queue at the same time.
    pub workers: usize,
    /// The same of other queues; what registered kinds ask for and is not named here has
    /// `workers` too.
    pub queues: BTreeMap<String, usize>,
    /// How long a worker may be silent before its job is rescued.
    pub lease: Duration,
    /// How often it looks for work when nobody says that there is some.
    pub poll: Duration,
    /// Whether to listen for somebody saying so; a proxy that pools transactions cannot tell.
    pub listen: bool,
    /// How long running jobs may take to finish after a stop.
    pub finish_grace: Duration,
    /// How long finished jobs are kept.
    pub retention: Retention,
    /// How long a leader leads without a word.
    pub leader_term: Duration,
    /// What runs by itself.
    pub schedules: Vec<Schedule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 4,
            queues: BTreeMap::new(),
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            listen: true,
            finish_grace: Duration::from_secs(10),
            retention: Retention::default(),
            leader_term: Duration::from_secs(9),
            schedules: Vec::new(),
        }
    }
}

impl Settings {
    /// The queues that are served, and how many of their jobs run at the same time.
    pub(crate) fn lanes(&self, registry: &Registry) -> BTreeMap<String, usize> {
        let asked = registry.queues().into_iter();
        let mut lanes: BTreeMap<String, usize> =
            asked.map(|name| (name.to_owned(), self.workers)).collect();
        lanes.extend(self.queues.clone());
        lanes.insert(QUEUE_DEFAULT.to_owned(), self.workers);
        lanes.retain(|_, workers| *workers > 0);
        lanes
    }
}

/// One queue in this process.
struct Lane {
    name: String,
    workers: usize,
    slots: Arc<Semaphore>,
    wake: Notify,
    frontier: Mutex<Frontier>,
}

impl Lane {
    /// Where its claims begin.
    fn frontier(&self) -> MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the engine's loops share.
struct Core {
    queue: Queue,
    registry: Registry,
    settings: Settings,
    /// This process among the workers.
    name: String,
    lanes: Vec<Lane>,
    leadership: Leadership,
    keeper: Arc<Keeper>,
    settler: Settler,
    running: TaskTracker,
    /// No new work.
    stopping: CancellationToken,
    /// Jobs that still run give up.
    abandon: CancellationToken,
    /// The helping loops end.
    ended: CancellationToken,
}

impl Core {
    /// Wakes the claimer of a queue, or all of them.
    fn wake(&self, queue: Option<&str>) {
        for lane in &self.lanes {
            if queue.is_none_or(|queue| queue == lane.name) {
                lane.wake.notify_one();
            }
        }
    }
}

/// Runs jobs until `stopping`, then lets the running ones finish or gives them back uncounted.
pub async fn run(
    queue: Queue,
    registry: Registry,
    settings: Settings,
    stopping: CancellationToken,
) {
    let (settler, endings) = settle::channel();
    let core = Arc::new(Core {
        queue,
        lanes: lanes(&registry, &settings),
        registry,
        name: worker_name(),
        settings,
        leadership: Leadership::default(),
        keeper: Arc::new(Keeper::default()),
        settler,
        running: TaskTracker::new(),
        stopping,
        abandon: CancellationToken::new(),
        ended: CancellationToken::new(),
    });
    housekeeping::prepare(&core).await;
    let helpers = TaskTracker::new();
    helpers.spawn(wake::listen(core.clone()));
    helpers.spawn(leader::run(core.clone()));
    helpers.spawn(schedule::run(core.clone()));
    helpers.spawn(keeper::run(core.clone()));
    helpers.spawn(settle::run(core.clone(), endings));
    housekeeping::spawn(&core, &helpers);
    let claimers = TaskTracker::new();
    for index in 0..core.lanes.len() {
        claimers.spawn(claim::run(core.clone(), index));
        helpers.spawn(stragglers::run(core.clone(), index));
    }
    claimers.close();
    claimers.wait().await;
    drain(&core).await;
    core.ended.cancel();
    helpers.close();
    helpers.wait().await;
}

fn lanes(registry: &Registry, settings: &Settings) -> Vec<Lane> {
    let queues = settings.lanes(registry).into_iter();
    let lanes = queues.map(|(name, workers)| Lane {
        name,
        workers,
        slots: Arc::new(Semaphore::new(workers)),
        wake: Notify::new(),
        frontier: Mutex::default(),
    });
    lanes.collect()
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
