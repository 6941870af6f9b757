//! From a call that enqueues one job until that job begins, while nothing else happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jobs::engine::{self, Settings};
use jobs::job::{Done, Failure, Job, Registry, Run};
use storage::queue::{NewJob, Queue};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::throughput::KIND;

/// Between two jobs: long enough for the engine to have gone back to waiting.
const APART: Duration = Duration::from_millis(20);
const WARM_UP: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Times of single jobs.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    sorted: Vec<Duration>,
}

impl Latency {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self { sorted: times }
    }

    /// The time that this share of them did not exceed, in milliseconds.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.sorted
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }

    /// How late this machine wakes who sleeps for a millisecond: no latency means less.
    pub(super) async fn of_timer() -> Self {
        let mut times = Vec::new();
        for _ in 0..1000 {
            let started = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            times.push(started.elapsed().saturating_sub(Duration::from_millis(1)));
        }
        Self::new(times)
    }
}

/// Says when it runs.
struct Told(mpsc::UnboundedSender<Instant>);

impl Job for Told {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run(self: Arc<Self>, _run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        // Refused only when nobody measures any more.
        let _ = self.0.send(Instant::now());
        async { Ok(Done::Completed) }.boxed()
    }
}

/// Times `jobs` jobs one after the other.
pub(super) async fn measure(queue: &Queue, jobs: u32) -> anyhow::Result<Latency> {
    let (sender, mut begun) = mpsc::unbounded_channel();
    let stopping = CancellationToken::new();
    let registry = Registry::default().with(Told(sender));
    let run = engine::run(
        queue.clone(),
        registry,
        Settings::default(),
        stopping.clone(),
    );
    let engine = tokio::spawn(run);
    let mut times = Vec::new();
    for number in 0..WARM_UP + jobs.max(1) {
        tokio::time::sleep(APART).await;
        let called = Instant::now();
        queue.enqueue(&NewJob::new(KIND)).await?;
        let begun = tokio::time::timeout(PATIENCE, begun.recv()).await;
        let begun = begun
            .context("a job does not begin")?
            .context("the engine ended")?;
        if number >= WARM_UP {
            times.push(begun.saturating_duration_since(called));
        }
    }
    stopping.cancel();
    engine.await?;
    Ok(Latency::new(times))
}
