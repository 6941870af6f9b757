//! Sets of packets as a few ranges, to count each packet once.

/// Ranges kept; then the two oldest become one.
const RANGES_MAX: usize = 64;

/// The packets counted so far. Old ranges melt together when there are many:
/// what lies between them counts as counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// First and last, in order, apart from each other.
    ranges: Vec<(u64, u64)>,
}

impl Counted {
    /// Counts the packets from `first` to `last`; returns how many are new.
    pub(crate) fn add(&mut self, first: u64, last: u64) -> u64 {
        let from = self
            .ranges
            .partition_point(|range| range.1.saturating_add(1) < first);
        let to = self
            .ranges
            .partition_point(|range| range.0 <= last.saturating_add(1));
        let touched = &self.ranges[from..to];
        let known: u64 = touched
            .iter()
            .map(|range| overlap(*range, (first, last)))
            .sum();
        let merged = (
            touched.first().map_or(first, |range| range.0.min(first)),
            touched.last().map_or(last, |range| range.1.max(last)),
        );
        self.ranges.splice(from..to, [merged]);
        if self.ranges.len() > RANGES_MAX {
            self.ranges[1].0 = self.ranges[0].0;
            self.ranges.remove(0);
        }
        last - first + 1 - known
    }
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> u64 {
    (a.1.min(b.1) + 1).saturating_sub(a.0.max(b.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_set_while_there_are_few_ranges(
            steps in prop::collection::vec((0u64..300, 1u64..40), 1..60),
        ) {
            let mut counted = Counted::default();
            let mut model = BTreeSet::new();
            for (first, length) in steps {
                let before = model.len();
                model.extend(first..first + length);
                let new = counted.add(first, first + length - 1);
                prop_assert_eq!(new, (model.len() - before) as u64);
            }
            prop_assert!(counted.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }

        #[test]
        fn it_is_bounded_and_never_counts_twice(
            places in prop::collection::vec(0u64..100_000, 1..500),
        ) {
            let mut counted = Counted::default();
            let mut total = 0;
            for place in &places {
                total += counted.add(*place, *place);
                prop_assert!(counted.ranges.len() <= RANGES_MAX);
            }
            prop_assert!(total <= places.iter().collect::<BTreeSet<_>>().len() as u64);
        }
    }
}
