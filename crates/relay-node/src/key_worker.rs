//! A thread of its own for deriving keys: each takes as long as forwarding a
//! thousand packets, and no data thread waits for one.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use relay_core::KeyWork;

use crate::shard::{Inbox, Message};

/// Work that may wait, of all data threads; more is dropped, and asked for again
/// when the caller repeats its request.
const WAITING_MAX: usize = 256;

/// The data threads' end.
#[derive(Clone)]
pub(crate) struct KeyWorker {
    sender: SyncSender<(KeyWork, Inbox)>,
}

/// The worker's end.
pub(crate) struct KeyWorkQueue {
    receiver: Receiver<(KeyWork, Inbox)>,
}

pub(crate) fn channel() -> (KeyWorker, KeyWorkQueue) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (KeyWorker { sender }, KeyWorkQueue { receiver })
}

impl KeyWorker {
    /// Has work done whose result goes to `inbox`; false when too much waits.
    pub(crate) fn give(&self, work: KeyWork, inbox: Inbox) -> bool {
        self.sender.try_send((work, inbox)).is_ok()
    }
}

impl KeyWorkQueue {
    /// Works until the data threads have ended.
    pub(crate) fn run(self) {
        for (work, inbox) in self.receiver {
            let done = Message::KeyWork(Box::new(work.run()));
            // Either fails when that thread has ended, and needs nothing more.
            if inbox.sender.blocking_send(done).is_ok() {
                let _ = inbox.waker.wake();
            }
        }
    }
}
