//! Listens for "there is work".

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::outage::Outage;

/// Between attempts to subscribe. Polling goes on meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn listen(core: Arc<Core>) {
    let mut outage = Outage::new("wake-up by notification");
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = subscription(&core, &mut outage) => {}
        }
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

/// Wakes the claimer at each hint, until the connection is lost.
async fn subscription(core: &Core, outage: &mut Outage) {
    let Some(mut wakeups) = outage.note(core.queue.wakeups().await) else {
        return;
    };
    loop {
        // What came before the subscription, or while it was lost, was not heard.
        core.wake.notify_one();
        if outage.note(wakeups.next().await).is_none() {
            return;
        }
    }
}
