//! Listens for "there is work", and what else a worker may want to know at once.

use std::sync::Arc;
use std::time::Duration;

use storage::queue::Hint;

use super::Core;
use super::outage::Outage;

/// Between attempts to subscribe. Polling goes on meanwhile.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn listen(core: Arc<Core>) {
    if !core.settings.listen {
        return;
    }
    let mut outage = Outage::new("wake-up by notification");
    loop {
        tokio::select! {
            () = core.ended.cancelled() => return,
            () = subscription(&core, &mut outage) => {}
        }
        tokio::select! {
            () = core.ended.cancelled() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

/// Passes hints on until the connection is lost.
async fn subscription(core: &Core, outage: &mut Outage) {
    let Some(mut wakeups) = outage.note(core.queue.wakeups().await) else {
        return;
    };
    // What came before the subscription, or while it was lost, was not heard.
    let mut hint = Hint::Work(None);
    loop {
        match hint {
            Hint::Work(queue) => core.wake(queue.as_deref()),
            Hint::Cancel(id) => core.keeper.cancel(id),
            Hint::Resigned => core.leadership.stand(),
        }
        let Some(next) = outage.note(wakeups.next().await) else {
            return;
        };
        hint = next;
    }
}
