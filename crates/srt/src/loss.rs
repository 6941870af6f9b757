//! The receiver's loss list: which packets are missing, bounded.
//!
//! Places in a stream are *indexes*: sequence numbers counted on in 64 bits, so
//! that nothing here wraps. `index mod 2^31` is the sequence number.

use std::collections::VecDeque;
use std::time::Instant;

/// A run of missing packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first missing index.
    pub first: u64,
    /// The last missing index.
    pub last: u64,
    /// When the packet before it is due.
    pub due_from: Instant,
    /// When the packet behind it is due: the time to give it up.
    pub deadline: Instant,
    /// When the first packet behind it came.
    pub opened_at: Instant,
    /// When it was first reported to the sender.
    pub asked_at: Option<Instant>,
    /// When it was last reported to the sender.
    pub reported_at: Option<Instant>,
}

impl Gap {
    /// How many packets are missing.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.last - self.first + 1
    }

    /// The first packet that a repair may bring in time: at `now` the one behind it is not due, if
    /// the sender made all of the gap at one rate. Behind `last` when all come too late.
    #[must_use]
    pub fn first_in_time(&self, now: Instant) -> u64 {
        let span = self.deadline.saturating_duration_since(self.due_from);
        let over = now.saturating_duration_since(self.due_from);
        let due = over.as_nanos() * u128::from(self.len() + 1) / span.as_nanos().max(1);
        let late = due.saturating_sub(1);
        self.first + u64::try_from(late).map_or(self.len(), |late| late.min(self.len()))
    }

    /// When the packet at `index`, one of its own, is due, at one rate.
    fn due(&self, index: u64) -> Instant {
        let span = self.deadline.saturating_duration_since(self.due_from);
        let part = (index - self.first + 1) as f64 / (self.len() + 1) as f64;
        self.due_from + span.mul_f64(part)
    }

    /// What is left of it before `index`, which is due at `due`, and behind it.
    fn split(&self, index: u64, due: Instant) -> (Option<Self>, Option<Self>) {
        let due = due.min(self.deadline);
        let before = (self.first < index).then(|| Self {
            last: index - 1,
            due_from: self.due_from.min(due),
            deadline: due,
            ..*self
        });
        let after = (index < self.last).then(|| Self {
            first: index + 1,
            due_from: due,
            ..*self
        });
        (before, after)
    }

    /// Never: a gap has at least one packet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// The gaps in order, without overlap, at most `gaps_max` of them.
#[derive(Debug)]
pub struct LossList {
    gaps: VecDeque<Gap>,
    gaps_max: usize,
}

impl LossList {
    /// An empty list; its memory is taken now and never grows.
    #[must_use]
    pub fn new(gaps_max: usize) -> Self {
        Self {
            gaps: VecDeque::with_capacity(gaps_max + 1),
            gaps_max: gaps_max.max(1),
        }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }

    /// The gaps, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter()
    }

    /// The gaps, oldest first, to mark them as reported.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Gap> {
        self.gaps.iter_mut()
    }

    /// The oldest gap.
    #[must_use]
    pub fn first(&self) -> Option<&Gap> {
        self.gaps.front()
    }

    /// The oldest gap that begins at `index` or later.
    #[must_use]
    pub fn first_from(&self, index: u64) -> Option<&Gap> {
        let at = self.gaps.partition_point(|gap| gap.first < index);
        self.gaps.get(at)
    }

    /// Whether `index` is missing.
    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        self.find(index).is_some()
    }

    /// How many packets are missing.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.gaps.iter().map(Gap::len).sum()
    }

    /// The gap that `index` is in.
    #[must_use]
    pub fn gap(&self, index: u64) -> Option<&Gap> {
        self.gaps.get(self.find(index)?)
    }

    /// Adds a gap behind all others. Returns the oldest one when the list was
    /// full and it had to go.
    pub fn push(&mut self, gap: Gap) -> Option<Gap> {
        debug_assert!(
            self.gaps
                .back()
                .is_none_or(|newest| newest.last < gap.first)
        );
        self.gaps.push_back(gap);
        self.evict()
    }

    /// Takes out one packet that came after all: whether it was missing, and
    /// the oldest gap when a split overfilled the list. `deadline` is the
    /// packet's own: what is missing before it is given up then.
    pub fn remove(&mut self, index: u64, deadline: Instant) -> (bool, Option<Gap>) {
        let Some(at) = self.find(index) else {
            return (false, None);
        };
        let (before, after) = self.gaps[at].split(index, deadline);
        self.replace(at, before, after);
        (true, self.evict())
    }

    /// Takes out the missing packets from `first` to `last`; returns how many.
    /// When a split overfills the list, the oldest gap goes too and is counted.
    pub fn remove_range(&mut self, first: u64, last: u64) -> u64 {
        let mut removed = 0;
        let mut at = self.gaps.partition_point(|gap| gap.last < first);
        while let Some(gap) = self.gaps.get(at).copied().filter(|gap| gap.first <= last) {
            removed += gap.last.min(last) - gap.first.max(first) + 1;
            let before = (gap.first < first).then(|| Gap {
                last: first - 1,
                ..gap
            });
            let after = (gap.last > last).then(|| Gap {
                first: last + 1,
                due_from: gap.due(last),
                ..gap
            });
            at = self.replace(at, before, after);
        }
        removed + self.evict().as_ref().map_or(0, Gap::len)
    }

    /// Puts what is left of a gap in its place; returns the place behind it.
    fn replace(&mut self, at: usize, before: Option<Gap>, after: Option<Gap>) -> usize {
        match (before, after) {
            (None, None) => {
                self.gaps.remove(at);
                at
            }
            (Some(half), None) | (None, Some(half)) => {
                self.gaps[at] = half;
                at + 1
            }
            (Some(before), Some(after)) => {
                self.gaps[at] = before;
                self.gaps.insert(at + 1, after);
                at + 2
            }
        }
    }

    /// Takes out the oldest gap if it is due; returns it.
    pub fn pop_due(&mut self, now: Instant) -> Option<Gap> {
        self.gaps.front().filter(|gap| gap.deadline <= now)?;
        self.gaps.pop_front()
    }

    fn find(&self, index: u64) -> Option<usize> {
        let at = self.gaps.partition_point(|gap| gap.last < index);
        self.gaps
            .get(at)
            .filter(|gap| gap.first <= index)
            .map(|_| at)
    }

    fn evict(&mut self) -> Option<Gap> {
        if self.gaps.len() > self.gaps_max {
            self.gaps.pop_front()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn gap(first: u64, last: u64, at: Instant) -> Gap {
        Gap {
            first,
            last,
            due_from: at,
            deadline: at,
            opened_at: at,
            asked_at: Some(at),
            reported_at: Some(at),
        }
    }

    /// A packet each 10 ms, of which 11 to 19 are missing; the one before is due `from` then.
    fn nine_in_100_ms(from: Instant) -> Gap {
        Gap {
            due_from: from,
            deadline: from + Duration::from_millis(100),
            ..gap(11, 19, from)
        }
    }

    #[test]
    fn a_packet_in_the_middle_splits_its_gap() {
        let now = start();
        let mut list = LossList::new(8);
        assert_eq!(list.push(gap(5, 9, now)), None);
        assert_eq!(list.remove(7, now), (true, None));
        assert_eq!(list.remove(7, now), (false, None));
        let ranges: Vec<_> = list.iter().map(|gap| (gap.first, gap.last)).collect();
        assert_eq!(ranges, [(5, 6), (8, 9)]);
    }

    #[test]
    fn what_is_due_is_beyond_repair() {
        let (now, ms) = (start(), Duration::from_millis);
        let gap = nine_in_100_ms(now);
        let first = |after| gap.first_in_time(now + ms(after));
        assert_eq!((first(0), first(19), first(20)), (11, 11, 12));
        assert_eq!((first(55), first(99)), (15, 19));
        assert_eq!((first(100), first(999)), (20, 20), "all");
    }

    #[test]
    fn a_packet_tells_when_those_around_it_are_due() {
        let (now, ms) = (start(), Duration::from_millis);
        let mut list = LossList::new(8);
        list.push(nine_in_100_ms(now));
        list.remove(15, now + ms(80));
        let ends: Vec<_> = list
            .iter()
            .map(|gap| (gap.due_from, gap.deadline))
            .collect();
        assert_eq!(ends[0], (now, now + ms(80)));
        assert_eq!(ends[1], (now + ms(80), now + ms(100)));
    }

    #[test]
    fn what_is_behind_a_dropped_range_is_due_when_it_was() {
        let (now, ms) = (start(), Duration::from_millis);
        let mut list = LossList::new(8);
        list.push(nine_in_100_ms(now));
        list.remove_range(5, 15);
        assert_eq!(list.first().map(|gap| gap.due_from), Some(now + ms(50)));
    }

    #[test]
    fn a_full_list_gives_up_its_oldest_gap() {
        let now = start();
        let mut list = LossList::new(2);
        assert_eq!(list.push(gap(1, 1, now)), None);
        assert_eq!(list.push(gap(3, 7, now)), None);
        assert_eq!(list.remove(5, now), (true, Some(gap(1, 1, now))));
        assert_eq!(list.push(gap(9, 9, now)).map(|gap| gap.first), Some(3));
    }

    #[test]
    fn gaps_leave_when_they_are_due_and_not_before() {
        let now = start();
        let mut list = LossList::new(4);
        list.push(gap(1, 2, now + Duration::from_millis(5)));
        assert_eq!(list.pop_due(now), None);
        assert_eq!(
            list.pop_due(now + Duration::from_millis(5))
                .map(|gap| gap.len()),
            Some(2)
        );
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_missing_packets(
            steps in prop::collection::vec((0u8..3, 1u64..12, 0u64..200), 1..200),
        ) {
            let now = start();
            let mut list = LossList::new(10_000);
            let mut model = BTreeSet::new();
            let mut top = 0;
            for (kind, size, place) in steps {
                match kind {
                    0 => {
                        list.push(gap(top + 1, top + size, now));
                        model.extend(top + 1..=top + size);
                        top += size + 1;
                    }
                    1 => prop_assert_eq!(list.remove(place, now).0, model.remove(&place)),
                    _ => {
                        let range = place..place + size;
                        let gone: Vec<u64> = model.range(range.clone()).copied().collect();
                        prop_assert_eq!(list.remove_range(place, range.end - 1), gone.len() as u64);
                        model.retain(|index| !range.contains(index));
                    }
                }
                let held: Vec<u64> = list.iter().flat_map(|gap| gap.first..=gap.last).collect();
                prop_assert_eq!(held, model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
