//! Which way a writer adds events: by appending, as long as nothing comes twice.
//!
//! Appending costs half, and all of it is lost when one event is there already. SDKs send again
//! what they got no answer for, so that events come twice together, after an outage, and then
//! not for a long time.

use std::sync::atomic::{AtomicU32, Ordering};

use storage::telemetry::intake::Way;

/// Flushes in a row in which nothing was there already, before events are appended again: whoever
/// sends one event twice now and then spoils one flush of so many at most.
const CALM_FLUSHES: u32 = 16;

/// What one writer met of late.
pub(super) struct Ways {
    /// Flushes since the last one in which something was there already.
    calm: AtomicU32,
}

impl Ways {
    pub(super) const fn new() -> Self {
        Self {
            calm: AtomicU32::new(CALM_FLUSHES),
        }
    }

    /// For the next flush.
    pub(super) fn next(&self) -> Way {
        if self.calm.load(Ordering::Relaxed) < CALM_FLUSHES {
            Way::Merge
        } else {
            Way::Append
        }
    }

    /// Notes whether some of a flush was there already.
    pub(super) fn note(&self, has_duplicates: bool) {
        let calm = self.calm.load(Ordering::Relaxed);
        let calm = if has_duplicates {
            0
        } else {
            calm.saturating_add(1)
        };
        self.calm.store(calm, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_appended_until_one_comes_twice_and_again_after_a_while() {
        let ways = Ways::new();
        assert_eq!(ways.next(), Way::Append);
        ways.note(true);
        for _ in 0..CALM_FLUSHES {
            assert_eq!(ways.next(), Way::Merge);
            ways.note(false);
        }
        assert_eq!(ways.next(), Way::Append);
    }
}
