//! Takes jobs for idle workers, a loop per queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::queue::Claimed;
use tokio::sync::OwnedSemaphorePermit;

use super::outage::Outage;
use super::{Core, Lane, backoff, worker};

/// The most jobs of one claim.
const CLAIM_MAX: usize = 500;
/// While there is more work than workers, they are waited for by this share of them, so that
/// claims stay large,
const GATHER_SHARE: usize = 4;
/// and no longer than this.
const GATHER_TIME: Duration = Duration::from_millis(5);

/// Claims and starts jobs of one queue until the engine stops.
pub(super) async fn run(core: Arc<Core>, lane: usize) {
    let lane = &core.lanes[lane];
    let kinds = core.registry.kinds();
    let mut outage = Outage::new("claiming jobs");
    let mut is_busy = false;
    while let Some(mut idle) = idle_workers(&core, lane, is_busy).await {
        let limit = idle.num_permits();
        // Not cancelled by a stop: a claim whose answer nobody reads would have to be rescued.
        let claim = claim(&core, lane, &kinds, limit).await;
        let claimed = outage.note(claim).unwrap_or_default();
        is_busy = claimed.len() == limit;
        start(&core, claimed, &mut idle);
        drop(idle);
        if !is_busy {
            wait(&core, lane).await;
        }
    }
}

async fn claim(
    core: &Core,
    lane: &Lane,
    kinds: &[String],
    limit: usize,
) -> Result<Vec<Claimed>, storage::Error> {
    let asked = Instant::now();
    if lane.frontier().wants_sample(asked) {
        let drawn = core.queue.ready_drawn().await?;
        lane.frontier().sample(asked, drawn);
    }
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let (started, bounds) = (Instant::now(), lane.frontier().bounds());
    let lease = core.settings.lease;
    let claimed = core
        .queue
        .claim_from(&lane.name, bounds, &core.name, kinds, limit, lease)
        .await?;
    lane.frontier().note(started, &claimed, limit);
    Ok(claimed)
}

/// Waits for at least one idle worker; none when the engine stops.
async fn idle_workers(core: &Core, lane: &Lane, is_busy: bool) -> Option<OwnedSemaphorePermit> {
    let mut idle = tokio::select! {
        biased;
        () = core.stopping.cancelled() => return None,
        permit = lane.slots.clone().acquire_owned() => permit.ok()?,
    };
    let gathered = (lane.workers / GATHER_SHARE).min(CLAIM_MAX);
    if is_busy && lane.slots.available_permits() < gathered {
        let enough = u32::try_from(gathered).unwrap_or(u32::MAX);
        let more = lane.slots.clone().acquire_many_owned(enough);
        if let Ok(Ok(more)) = tokio::time::timeout(GATHER_TIME, more).await {
            idle.merge(more);
        }
    }
    let room = CLAIM_MAX.saturating_sub(idle.num_permits());
    let more = lane.slots.available_permits().min(room);
    let more = u32::try_from(more).unwrap_or(0);
    if let Ok(others) = lane.slots.clone().try_acquire_many_owned(more) {
        idle.merge(others);
    }
    Some(idle)
}

fn start(core: &Arc<Core>, claimed: Vec<Claimed>, idle: &mut OwnedSemaphorePermit) {
    for claimed in claimed {
        let Some(permit) = idle.split(1) else {
            return; // A claim brings at most as many jobs as there are permits.
        };
        core.running
            .spawn(worker::run(core.clone(), claimed, permit));
    }
}

/// Until somebody says that there is work, or it is time to look.
async fn wait(core: &Core, lane: &Lane) {
    let poll = core.settings.poll.mul_f64(0.8 + 0.4 * backoff::jitter());
    tokio::select! {
        () = core.stopping.cancelled() => {}
        () = lane.wake.notified() => {}
        () = tokio::time::sleep(poll) => {}
    }
}
