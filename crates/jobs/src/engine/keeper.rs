//! Keeps the leases of running jobs, stops the ones that lost theirs, and the cancelled ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::JobId;
use storage::queue::Fence;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::outage::Outage;

/// Leases are extended this many times in their length.
const EXTENSIONS_PER_LEASE: u32 = 3;

/// The claims that this process holds.
#[derive(Default)]
pub(super) struct Keeper {
    held: Mutex<HashMap<Fence, Signals>>,
}

/// What an attempt may be told.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// Another attempt has the job.
    pub(super) lost: CancellationToken,
    /// Somebody wants the job cancelled.
    pub(super) cancelled: CancellationToken,
}

/// A claim being kept, until it is dropped.
pub(super) struct Hold {
    keeper: Arc<Keeper>,
    fence: Fence,
    pub(super) signals: Signals,
}

impl Keeper {
    pub(super) fn hold(self: &Arc<Self>, fence: Fence) -> Hold {
        let signals = Signals::default();
        self.lock().insert(fence, signals.clone());
        Hold {
            keeper: self.clone(),
            fence,
            signals,
        }
    }

    /// Stops the attempt at a job, if it runs here.
    pub(super) fn cancel(&self, id: JobId) {
        let held = self.lock();
        let of_job = held.iter().filter(|(fence, _)| fence.id == id);
        of_job.for_each(|(_, signals)| signals.cancelled.cancel());
    }

    fn fences(&self) -> Vec<Fence> {
        self.lock().keys().copied().collect()
    }

    fn give_up(&self, fence: Fence) {
        if let Some(signals) = self.lock().remove(&fence) {
            signals.lost.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Fence, Signals>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.keeper.lock().remove(&self.fence);
    }
}

pub(super) async fn run(core: Arc<Core>) {
    let mut outage = Outage::new("extending leases");
    let interval = core.settings.lease / EXTENSIONS_PER_LEASE;
    loop {
        tokio::select! {
            () = core.ended.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let fences = core.keeper.fences();
        if !fences.is_empty() {
            outage.note(extend(&core, &fences).await);
        }
    }
}

async fn extend(core: &Core, fences: &[Fence]) -> Result<(), storage::Error> {
    let kept = core.queue.extend(fences, core.settings.lease).await?;
    let kept: HashMap<JobId, bool> = kept
        .into_iter()
        .map(|kept| (kept.id, kept.cancel_requested))
        .collect();
    for fence in fences {
        match kept.get(&fence.id) {
            None => core.keeper.give_up(*fence),
            Some(true) => core.keeper.cancel(fence.id),
            Some(false) => {}
        }
    }
    Ok(())
}
