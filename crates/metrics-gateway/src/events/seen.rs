//! Contexts that are known to be kept as of today, so that they are not written again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last ones, by app and number: those of now, and those before that were not used since.
pub(crate) struct Seen {
    /// Of each half.
    max: usize,
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    /// Since 1970, UTC.
    day: i32,
    now: HashSet<(i32, i64)>,
    before: HashSet<(i32, i64)>,
}

impl Seen {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max: max.div_ceil(2),
            halves: Mutex::default(),
        }
    }

    /// Whether it is kept for sure, as of that day.
    pub(crate) fn has(&self, context: (i32, i64), day: i32) -> bool {
        let halves = self.halves();
        halves.day == day && (halves.now.contains(&context) || halves.before.contains(&context))
    }

    /// Notes what was kept, as of that day: after the commit, never before.
    pub(crate) fn note(&self, contexts: impl Iterator<Item = (i32, i64)>, day: i32) {
        let mut halves = self.halves();
        if day != halves.day {
            *halves = Halves {
                day,
                ..Halves::default()
            };
        }
        for context in contexts {
            if halves.now.len() >= self.max {
                halves.before = std::mem::take(&mut halves.now);
            }
            halves.now.insert(context);
        }
    }

    /// Knows of none any more: a database that was away may have come back without some.
    pub(crate) fn clear(&self) {
        *self.halves() = Halves::default();
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    #[test]
    fn the_last_ones_are_known_and_the_oldest_forgotten() {
        let seen = Seen::new(4);
        let of = |ids: Range<i64>| ids.map(|id| (1, id));
        seen.note(of(0..3), 7);
        assert!(of(0..3).all(|it| seen.has(it, 7)));
        assert!(!seen.has((2, 0), 7), "another app's");
        assert!(!seen.has((1, 0), 8), "not as of the next day");
        seen.note(of(3..5), 7);
        assert!(!seen.has((1, 0), 7));
        assert!(seen.has((1, 4), 7));
        seen.note(of(5..6), 8);
        assert!(seen.has((1, 5), 8));
        assert!(!seen.has((1, 4), 8));
        seen.clear();
        assert!(!seen.has((1, 5), 8));
    }
}
