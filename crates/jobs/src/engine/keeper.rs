//! Keeps the leases of running jobs, and stops the ones that lost theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use storage::queue::Fence;
use tokio_util::sync::CancellationToken;

use super::Core;
use super::outage::Outage;

/// Leases are extended this many times in their length.
const EXTENSIONS_PER_LEASE: u32 = 3;

/// The claims that this process holds.
#[derive(Default)]
pub(super) struct Keeper {
    held: Mutex<HashMap<Fence, CancellationToken>>,
}

/// A claim being kept, until it is dropped.
pub(super) struct Hold<'a> {
    keeper: &'a Keeper,
    fence: Fence,
    /// Cancelled when the claim is lost.
    pub(super) lost: CancellationToken,
}

impl Keeper {
    pub(super) fn hold(&self, fence: Fence) -> Hold<'_> {
        let lost = CancellationToken::new();
        self.lock().insert(fence, lost.clone());
        Hold {
            keeper: self,
            fence,
            lost,
        }
    }

    fn fences(&self) -> Vec<Fence> {
        self.lock().keys().copied().collect()
    }

    fn give_up(&self, fence: Fence) {
        if let Some(lost) = self.lock().remove(&fence) {
            lost.cancel();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Fence, CancellationToken>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold<'_> {
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
    let held = core.queue.extend(fences, core.settings.lease).await?;
    for fence in fences.iter().filter(|fence| !held.contains(&fence.id)) {
        core.keeper.give_up(*fence);
    }
    Ok(())
}
