//! Contexts that are known to be kept, so that they are not written again.

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

    /// Whether it is kept for sure.
    pub(crate) fn has(&self, context: (i32, i64)) -> bool {
        let halves = self.halves();
        halves.now.contains(&context) || halves.before.contains(&context)
    }

    /// Notes what was kept: after the commit, never before.
    pub(crate) fn note(&self, contexts: impl Iterator<Item = (i32, i64)>) {
        let mut halves = self.halves();
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
    use super::*;

    #[test]
    fn the_last_ones_are_known_and_the_oldest_forgotten() {
        let seen = Seen::new(4);
        seen.note((0..3).map(|id| (1, id)));
        assert!((0..3).all(|id| seen.has((1, id))));
        assert!(!seen.has((2, 0)), "another app's");
        seen.note((3..5).map(|id| (1, id)));
        assert!(!seen.has((1, 0)));
        assert!(seen.has((1, 4)));
        seen.clear();
        assert!(!seen.has((1, 4)));
    }
}
