//! Batches made and signed before they are needed: senders share the cores with what is measured, and
//! should only send.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::load::Load;
use super::sender::{Batch, Sender, Stamp, Target};

/// Bytes of all bodies: what does not fit is made when it is its turn.
const BYTES_MAX: usize = 2 << 30;

/// Batches for one target, each to be taken once.
pub(super) struct Stock<'a> {
    target: &'a Target,
    load: Load,
    made: Vec<Signed>,
    taken: AtomicUsize,
}

/// A batch, ready to be sent.
#[derive(Debug)]
struct Signed {
    batch: Batch,
    stamp: Stamp,
}

impl<'a> Stock<'a> {
    /// Makes so many, and more when they are wanted.
    pub(super) fn of(batches: usize, target: &'a Target, load: Load) -> Self {
        let bytes = Batch::new(load.batch, 0).body.len();
        let batches = batches.min(BYTES_MAX / bytes.max(1));
        let makers = thread::available_parallelism().map_or(1, usize::from);
        let made = thread::scope(|scope| {
            let shares = (0..makers).map(|maker| {
                let share = (maker..batches).step_by(makers);
                let make = move |number| Signed::make(target, load, number);
                scope.spawn(move || share.map(make).collect::<Vec<_>>())
            });
            let threads: Vec<_> = shares.collect();
            let made = threads
                .into_iter()
                .map(|thread| thread.join().expect("a maker of batches panicked"));
            made.flatten().collect()
        });
        Self {
            target,
            load,
            made,
            taken: AtomicUsize::new(0),
        }
    }

    /// Sends the next one; the answer's status.
    pub(super) fn send_next(&self, sender: &Sender) -> Result<u16, ureq::Error> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        match self.made.get(number) {
            Some(signed) if signed.stamp.is_fresh() => signed.post(sender),
            _ => Signed::make(self.target, self.load, number).post(sender),
        }
    }
}

impl Signed {
    /// Of one client after another.
    fn make(target: &Target, load: Load, number: usize) -> Self {
        let client = number as u32 % load.connections.max(1);
        let batch = Batch::new(load.batch, client);
        let stamp = target.stamp(batch.body.as_bytes());
        Self { batch, stamp }
    }

    fn post(&self, sender: &Sender) -> Result<u16, ureq::Error> {
        sender.post(&self.batch, &self.stamp)
    }
}
