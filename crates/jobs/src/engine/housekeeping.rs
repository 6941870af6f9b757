//! What keeps the queue in order: jobs whose time has come, whose worker fell
//! silent, room for finished ones and their end; and how full it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use model::UnixMillis;
use model::job::JobState;
use tokio_util::task::TaskTracker;

use super::outage::Outage;
use super::{Core, backoff};
use crate::metrics;

/// The most jobs one statement touches.
const BATCH_MAX: u32 = 1000;
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// Silent workers are looked for this many times in a lease.
const RESCUES_PER_LEASE: u32 = 3;
/// Work that looks at the whole table is done seldom enough to take this share of the time
/// at most, one in so many.
const PAUSE_SHARE: u32 = 50;
/// Between attempts to make room in the history before anything can finish.
const PREPARE_INTERVAL: Duration = Duration::from_secs(1);

/// Makes room in the history; nothing could finish without it.
pub(super) async fn prepare(core: &Core) {
    let mut outage = Outage::new("making room in the history");
    loop {
        let made = core.queue.make_history(core.settings.retention).await;
        if outage.note(made).is_some() {
            return;
        }
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(PREPARE_INTERVAL) => {}
        }
    }
}

pub(super) fn spawn(core: &Arc<Core>, helpers: &TaskTracker) {
    let rescue_interval = core.settings.lease / RESCUES_PER_LEASE;
    let poll = core.settings.poll;
    let horizon = Horizon::default();
    helpers.spawn(every(core.clone(), poll, "promotion of due jobs", promote));
    helpers.spawn(every(
        core.clone(),
        rescue_interval,
        "rescue of silent jobs",
        async move |core| rescue(core, &horizon).await,
    ));
    helpers.spawn(every(
        core.clone(),
        TIDY_INTERVAL,
        "tidying the queue",
        tidy,
    ));
    helpers.spawn(every(
        core.clone(),
        MEASURE_INTERVAL,
        "measuring the queue",
        measure,
    ));
}

/// Does `work` about once per `interval` until the engine stops; more seldom when it is long.
async fn every<F>(core: Arc<Core>, interval: Duration, what: &'static str, work: F)
where
    F: AsyncFn(&Core) -> Result<(), storage::Error>,
{
    let mut outage = Outage::new(what);
    loop {
        let started = Instant::now();
        let is_done = outage.note(work(&core).await).is_some();
        // An outage is no reason to look more seldom.
        let rest = if is_done {
            started.elapsed() * PAUSE_SHARE
        } else {
            Duration::ZERO
        };
        let pause = interval.mul_f64(0.8 + 0.4 * backoff::jitter()).max(rest);
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn promote(core: &Core) -> Result<(), storage::Error> {
    if core.queue.promote(BATCH_MAX).await? > 0 {
        core.wake(None);
    }
    Ok(())
}

/// Up to when every lease that ran out was dealt with. As for claims, what lies behind are
/// entries of jobs that are gone.
#[derive(Default)]
struct Horizon(AtomicI64);

async fn rescue(core: &Core, horizon: &Horizon) -> Result<(), storage::Error> {
    let now = core.queue.now().await?;
    let after = UnixMillis(horizon.0.load(Ordering::Relaxed));
    let retention = core.settings.retention;
    let rescued = core.queue.rescue(after, BATCH_MAX, retention).await?;
    if rescued.len() < BATCH_MAX as usize {
        // A claim takes effect when it commits, which takes it less than a lease.
        let dealt_with = now.minus(core.settings.lease);
        horizon.0.store(dealt_with.0, Ordering::Relaxed);
    }
    for job in &rescued {
        let kind = core.registry.label(&job.kind);
        metrics::rescued(kind);
        if job.state == JobState::Discarded {
            metrics::discarded(kind);
        }
        tracing::warn!(
            job.id = job.id.0,
            job.kind,
            job.state = job.state.as_str(),
            "a job's worker fell silent"
        );
    }
    if !rescued.is_empty() {
        core.wake(None);
    }
    Ok(())
}

async fn tidy(core: &Core) -> Result<(), storage::Error> {
    let retention = core.settings.retention;
    core.queue.make_history(retention).await?;
    core.queue.drop_history().await?;
    let all = u64::from(BATCH_MAX);
    while core.queue.adopt_finished(retention, BATCH_MAX).await? >= all {}
    while core.queue.trim_keys(BATCH_MAX).await? >= all {}
    Ok(())
}

async fn measure(core: &Core) -> Result<(), storage::Error> {
    metrics::depth(&core.registry, &core.queue.depth().await?);
    metrics::discarded_kept(core.queue.discarded().await?);
    metrics::oldest_transaction(core.queue.oldest_transaction().await?);
    for state in core.queue.queues().await? {
        metrics::paused(
            core.registry.queue_label(&state.name),
            state.paused_at.is_some(),
        );
    }
    let (states, now) = (core.queue.schedules().await?, core.queue.now().await?);
    for schedule in &core.settings.schedules {
        let state = states.iter().find(|state| state.name == schedule.name);
        let lag = schedule.lag(state.map(|state| state.last_slot), now);
        metrics::schedule(
            schedule.name,
            lag,
            state.and_then(|state| state.last_success),
        );
    }
    Ok(())
}
