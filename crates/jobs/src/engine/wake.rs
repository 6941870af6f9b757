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
            result = subscription(&core) => { outage.note(result); }
        }
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

/// Wakes the claimer at each hint, until the connection is lost.
async fn subscription(core: &Core) -> Result<(), storage::Error> {
    let mut wakeups = core.queue.wakeups().await?;
    loop {
        // What came before the subscription, or while it was lost, was not heard.
        core.wake.notify_one();
        wakeups.next().await?;
    }
}
