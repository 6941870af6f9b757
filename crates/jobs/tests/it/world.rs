//! A queue of its own for each test, engines on it, and patience.

use std::time::{Duration, Instant};

use model::JobId;
use model::job::{Job, JobState};
use storage::queue::{Enqueued, NewJob, Queue, Retention};
use streamhaul_jobs::engine::{self, Settings};
use streamhaul_jobs::job::Registry;
use testkit::database::TestDb;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Far longer than anything takes; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    _database: TestDb,
    pub(crate) queue: Queue,
}

/// A running engine.
pub(crate) struct Running {
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = TestDb::new().await;
        let pool = storage::connect("test", database.url(), 6).unwrap();
        let queue = Queue::new(pool);
        Self {
            _database: database,
            queue,
        }
    }

    pub(crate) fn engine(&self, registry: Registry, settings: Settings) -> Running {
        let stopping = CancellationToken::new();
        let run = engine::run(self.queue.clone(), registry, settings, stopping.clone());
        let task = tokio::spawn(run);
        Running { stopping, task }
    }

    pub(crate) async fn enqueue(&self, job: NewJob) -> JobId {
        match self.queue.enqueue(&job).await.unwrap() {
            Enqueued::Created(job) => job.id,
            Enqueued::Existing(job) => panic!("{job:?} is in the way"),
        }
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.queue.job(id).await.unwrap().unwrap()
    }

    pub(crate) async fn wait_for(&self, id: JobId, state: JobState) -> Job {
        until(async || {
            let job = self.job(id).await;
            (job.state == state).then_some(job)
        })
        .await
    }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        self.task.await.unwrap();
    }

    pub(crate) fn begin_stop(&self) {
        self.stopping.cancel();
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        poll: Duration::from_millis(50),
        retention: Retention {
            completed: Duration::from_secs(3600),
            discarded: Duration::from_secs(3600),
        },
        ..Settings::default()
    }
}

/// Asks again until there is an answer.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "it never happened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
