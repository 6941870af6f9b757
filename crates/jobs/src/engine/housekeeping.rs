//! What keeps the queue in order: jobs whose time has come, whose worker fell
//! silent, that finished long ago; and how full it is.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::outage::Outage;
use super::{Core, backoff};
use crate::metrics;

/// The most jobs one statement touches.
const BATCH_MAX: u32 = 1000;
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// Silent workers are looked for this many times in a lease.
const RESCUES_PER_LEASE: u32 = 3;

pub(super) fn spawn(core: &Arc<Core>, helpers: &TaskTracker) {
    let rescue_interval = core.settings.lease / RESCUES_PER_LEASE;
    let poll = core.settings.poll;
    helpers.spawn(every(core.clone(), poll, "promotion of due jobs", promote));
    helpers.spawn(every(
        core.clone(),
        rescue_interval,
        "rescue of silent jobs",
        rescue,
    ));
    helpers.spawn(every(
        core.clone(),
        TRIM_INTERVAL,
        "trimming of finished jobs",
        trim,
    ));
    helpers.spawn(every(
        core.clone(),
        MEASURE_INTERVAL,
        "measuring the queue",
        measure,
    ));
}

/// Does `work` about once per `interval` until the engine stops.
async fn every<F>(core: Arc<Core>, interval: Duration, what: &'static str, work: F)
where
    F: AsyncFn(&Core) -> Result<(), storage::Error>,
{
    let mut outage = Outage::new(what);
    loop {
        outage.note(work(&core).await);
        let pause = interval.mul_f64(0.8 + 0.4 * backoff::jitter());
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn promote(core: &Core) -> Result<(), storage::Error> {
    if core.queue.promote(BATCH_MAX).await? > 0 {
        core.wake.notify_one();
    }
    Ok(())
}

async fn rescue(core: &Core) -> Result<(), storage::Error> {
    let rescued = core.queue.rescue(BATCH_MAX).await?;
    for job in &rescued {
        metrics::rescued(core.registry.label(&job.kind));
        if job.discarded {
            metrics::discarded(core.registry.label(&job.kind));
        }
        tracing::warn!(
            job.id = job.id.0,
            job.kind = job.kind,
            discarded = job.discarded,
            "a job's worker fell silent"
        );
    }
    if !rescued.is_empty() {
        core.wake.notify_one();
    }
    Ok(())
}

async fn trim(core: &Core) -> Result<(), storage::Error> {
    while core.queue.trim(core.settings.retention, BATCH_MAX).await? >= u64::from(BATCH_MAX) {}
    Ok(())
}

async fn measure(core: &Core) -> Result<(), storage::Error> {
    metrics::depth(&core.queue.depth().await?);
    Ok(())
}
