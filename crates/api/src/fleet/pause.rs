//! After trouble of our own, silence proves nothing about nodes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::UnixMillis;

/// When this process last could not hear or write what nodes say: its start counts.
/// Nothing expires until nodes had the time to be heard again.
pub(crate) struct Pause {
    trouble_at: AtomicI64,
}

impl Pause {
    pub(crate) fn new(now: UnixMillis) -> Self {
        Self {
            trouble_at: AtomicI64::new(now.0),
        }
    }

    /// A heartbeat could not be written, or the database gave no sign of life.
    pub(crate) fn trouble(&self, now: UnixMillis) {
        self.trouble_at.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Whether the last trouble is at most `length` ago.
    pub(crate) fn is_on(&self, length: Duration, now: UnixMillis) -> bool {
        now.since(UnixMillis(self.trouble_at.load(Ordering::Relaxed))) < length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_begins_anew_with_each_trouble() {
        let minute = Duration::from_secs(60);
        let pause = Pause::new(UnixMillis(0));
        assert!(pause.is_on(minute, UnixMillis(59_999)));
        assert!(!pause.is_on(minute, UnixMillis(60_000)));
        pause.trouble(UnixMillis(100_000));
        assert!(pause.is_on(minute, UnixMillis(159_999)));
    }
}
