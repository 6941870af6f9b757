//! Jobs behind the frontier of their queue: those of a transaction that took long, and those
//! that nobody could claim while the queue was paused. A look for them walks over all that is
//! dead, so it is made beside the claims and not by them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::queue::Frontier;

use super::outage::Outage;
use super::{Core, Lane};

/// Looks for the stragglers of one queue until the engine stops.
pub(super) async fn run(core: Arc<Core>, lane: usize) {
    let lane = &core.lanes[lane];
    let kinds = core.registry.kinds();
    let mut outage = Outage::new("looking for jobs from the start");
    let mut pause = Frontier::look_pause(Duration::ZERO);
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let started = Instant::now();
        outage.note(look(&core, lane, &kinds).await);
        pause = Frontier::look_pause(started.elapsed());
    }
}

async fn look(core: &Core, lane: &Lane, kinds: &[String]) -> Result<(), storage::Error> {
    let firsts = core.queue.first_ready(&lane.name, kinds).await?;
    if lane.frontier().found(&firsts) {
        lane.wake.notify_one();
    }
    Ok(())
}
