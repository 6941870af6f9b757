//! Who must be woken when: a binary heap that knows where each key stands, so
//! that moving a deadline leaves nothing stale behind.

use std::time::Instant;

const ABSENT: u32 = u32::MAX;

/// At most one deadline for each key; keys are small numbers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<(Instant, u32)>,
    places: Vec<u32>,
}

impl Timers {
    /// Sets, moves or (with `None`) removes the deadline of `key`.
    pub(crate) fn set(&mut self, key: u32, at: Option<Instant>) {
        match (self.place(key), at) {
            (Some(place), Some(at)) => self.move_to(place, at),
            (Some(place), None) => self.remove(place),
            (None, Some(at)) => self.insert(key, at),
            (None, None) => {}
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Takes out a key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let (_, key) = *self.heap.first().filter(|(at, _)| *at <= now)?;
        self.remove(0);
        Some(key)
    }

    fn place(&self, key: u32) -> Option<usize> {
        let place = *self.places.get(key as usize)?;
        (place != ABSENT).then_some(place as usize)
    }

    fn insert(&mut self, key: u32, at: Instant) {
        if self.places.len() <= key as usize {
            self.places.resize(key as usize + 1, ABSENT);
        }
        self.heap.push((at, key));
        self.sift_up(self.heap.len() - 1);
    }

    fn move_to(&mut self, place: usize, at: Instant) {
        if self.heap[place].0 != at {
            self.heap[place].0 = at;
            let place = self.sift_up(place);
            self.sift_down(place);
        }
    }

    fn remove(&mut self, place: usize) {
        let (_, key) = self.heap.swap_remove(place);
        self.places[key as usize] = ABSENT;
        if place < self.heap.len() {
            let place = self.sift_up(place);
            self.sift_down(place);
        }
    }

    fn sift_up(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
        self.note(place);
        place
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(child) = [left, left + 1]
                .into_iter()
                .filter(|child| *child < self.heap.len())
                .min_by_key(|child| self.heap[*child].0)
            else {
                break;
            };
            if self.heap[place].0 <= self.heap[child].0 {
                break;
            }
            self.swap(place, child);
            place = child;
        }
        self.note(place);
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&mut self, place: usize) {
        let key = self.heap[place].1;
        self.places[key as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_map(
            steps in prop::collection::vec((0u32..20, prop::option::of(0u64..1000)), 1..300),
        ) {
            #[allow(clippy::disallowed_methods, reason = "tests need one instant to count from")]
            let start = Instant::now();
            let mut timers = Timers::default();
            let mut model = BTreeMap::new();
            for (key, at) in steps {
                let at = at.map(|ms| start + Duration::from_millis(ms));
                timers.set(key, at);
                match at {
                    Some(at) => model.insert(key, at),
                    None => model.remove(&key),
                };
                prop_assert_eq!(timers.next(), model.values().min().copied());
            }
            let end = start + Duration::from_secs(2);
            let mut last = start;
            while let Some(at) = timers.next() {
                let key = timers.pop_due(end).expect("all are due at the end");
                prop_assert_eq!(model.remove(&key), Some(at));
                prop_assert!(at >= last);
                last = at;
            }
            prop_assert!(model.is_empty());
        }
    }
}
