//! Many jobs that do nothing: how fast they come in, and how fast they are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jobs::engine::{self, Settings};
use jobs::job::{Done, Failure, Job, Registry, Run};
use storage::queue::{NewJob, Queue};
use tokio_util::sync::CancellationToken;

use super::Plan;
use crate::bench::median;
use crate::usage::{self, Usage};

/// Jobs at the same time. They wait for nothing, so it is the size of batches.
const WORKERS: usize = 1000;
const BATCH: u32 = 1000;
/// Callers that enqueue at the same time.
const CALLERS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) const KIND: &str = "noop";

/// What turns came to, as medians.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) enqueue_per_s: f64,
    pub(super) noop_per_s: f64,
    /// Time on a core that a job took, PostgreSQL's and the engine's: other programs on the
    /// machine change it less than the rate.
    pub(super) noop_cpu_us: f64,
}

/// Does nothing, and counts that.
#[derive(Default)]
struct Noop {
    done: Arc<AtomicU64>,
}

impl Job for Noop {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run(self: Arc<Self>, _run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        self.done.fetch_add(1, Ordering::Relaxed);
        async { Ok(Done::Completed) }.boxed()
    }
}

/// An engine whose jobs do nothing.
struct Engine {
    done: Arc<AtomicU64>,
    stopping: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Engine {
    fn start(queue: &Queue) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let job = Noop { done: done.clone() };
        let settings = Settings {
            workers: WORKERS,
            ..Settings::default()
        };
        let stopping = CancellationToken::new();
        let registry = Registry::default().with(job);
        let run = engine::run(queue.clone(), registry, settings, stopping.clone());
        let task = tokio::spawn(run);
        Self {
            done,
            stopping,
            task,
        }
    }

    async fn stop(self) -> anyhow::Result<u64> {
        self.stopping.cancel();
        self.task.await?;
        Ok(self.done.load(Ordering::Relaxed))
    }
}

/// Turns of [`turn`]; the medians of their rates.
pub(super) async fn turns(queue: &Queue, plan: &Plan) -> anyhow::Result<Rates> {
    let mut turns = Vec::new();
    for _ in 0..plan.turns.max(1) {
        turns.push(turn(queue, plan.jobs).await?);
    }
    let median_of = |figure: fn(&Rates) -> f64| median(turns.iter().map(figure).collect());
    Ok(Rates {
        enqueue_per_s: median_of(|turn| turn.enqueue_per_s),
        noop_per_s: median_of(|turn| turn.noop_per_s),
        noop_cpu_us: median_of(|turn| turn.noop_cpu_us),
    })
}

/// Enqueues `jobs`, then starts an engine and waits until the last one is written down.
async fn turn(queue: &Queue, jobs: u32) -> anyhow::Result<Rates> {
    let started = Instant::now();
    let callers = (0..CALLERS).map(|_| tokio::spawn(enqueue(queue.clone(), jobs / CALLERS)));
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    let enqueuing = started.elapsed();
    let all = u64::from(jobs / CALLERS * CALLERS);
    let (started, before) = (Instant::now(), used()?);
    let engine = Engine::start(queue);
    while engine.done.load(Ordering::Relaxed) < all {
        ensure!(started.elapsed() < PATIENCE, "jobs do not end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Until the last one is written down, which the engine's end waits for.
    let done = engine.stop().await?;
    let (took, after) = (started.elapsed(), used()?);
    ensure!(done == all, "{done} runs of {all} jobs");
    ensure!(queue.depth().await?.is_empty(), "jobs are left");
    Ok(Rates {
        enqueue_per_s: all as f64 / enqueuing.as_secs_f64(),
        noop_per_s: all as f64 / took.as_secs_f64(),
        noop_cpu_us: after.since(&before).cpu.as_secs_f64() * 1e6 / all as f64,
    })
}

/// By this process, which is the engine, and PostgreSQL, which it started.
fn used() -> anyhow::Result<Usage> {
    Usage::of(&usage::tree(std::process::id()))
}

async fn enqueue(queue: Queue, jobs: u32) -> Result<(), storage::Error> {
    let mut left = jobs;
    while left > 0 {
        let batch = vec![NewJob::new(KIND); left.min(BATCH) as usize];
        queue.enqueue_many(&batch).await?;
        left -= left.min(BATCH);
    }
    Ok(())
}

/// Does jobs at the plan's rate for as long as it says; says how many.
pub(super) async fn age(queue: &Queue, plan: &Plan) -> anyhow::Result<u64> {
    const STEPS_PER_S: u32 = 10;
    let engine = Engine::start(queue);
    let mut steps = tokio::time::interval(Duration::from_secs(1) / STEPS_PER_S);
    let started = Instant::now();
    while started.elapsed() < plan.held {
        steps.tick().await;
        enqueue(queue.clone(), plan.held_rate / STEPS_PER_S).await?;
    }
    while !queue.depth().await?.is_empty() {
        ensure!(started.elapsed() < plan.held + PATIENCE, "jobs do not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    engine.stop().await
}
