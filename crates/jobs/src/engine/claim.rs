//! Takes jobs for idle workers.

use std::sync::Arc;

use storage::queue::Claimed;
use tokio::sync::OwnedSemaphorePermit;

use super::outage::Outage;
use super::{Core, backoff, worker};

/// Claims and starts jobs until the engine stops.
pub(super) async fn run(core: &Arc<Core>) {
    let kinds = core.registry.kinds();
    let mut outage = Outage::new("claiming jobs");
    while let Some(idle) = idle_workers(core).await {
        let free = idle.num_permits();
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let claim = core
            .queue
            .claim(&core.name, &kinds, limit, core.settings.lease);
        // Not cancelled by a stop: a claim whose answer nobody reads would have to be rescued.
        let claimed = outage.note(claim.await).unwrap_or_default();
        let more = claimed.len() == free;
        start(core, claimed, idle);
        if !more {
            wait(core).await;
        }
    }
}

/// Waits for at least one idle worker; none when the engine stops.
async fn idle_workers(core: &Core) -> Option<OwnedSemaphorePermit> {
    let mut idle = tokio::select! {
        biased;
        () = core.stopping.cancelled() => return None,
        permit = core.slots.clone().acquire_owned() => permit.ok()?,
    };
    let more = u32::try_from(core.slots.available_permits()).unwrap_or(0);
    if let Ok(others) = core.slots.clone().try_acquire_many_owned(more) {
        idle.merge(others);
    }
    Some(idle)
}

fn start(core: &Arc<Core>, claimed: Vec<Claimed>, mut idle: OwnedSemaphorePermit) {
    for claimed in claimed {
        let permit = idle.split(1);
        let work = worker::run(core.clone(), claimed);
        core.running.spawn(async move {
            work.await;
            drop(permit);
        });
    }
}

/// Until somebody says that there is work, or it is time to look.
async fn wait(core: &Core) {
    let poll = core.settings.poll.mul_f64(0.8 + 0.4 * backoff::jitter());
    tokio::select! {
        () = core.stopping.cancelled() => {}
        () = core.wake.notified() => {}
        () = tokio::time::sleep(poll) => {}
    }
}
