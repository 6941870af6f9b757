//! Counts by reason, as nodes name them. A node may be newer than we are, or lie: a
//! word gets a series while there is place, and everything else is `other`.

use model::telemetry::ReasonCount;

use super::total::Total;

/// Reasons with a series of their own, for each node and for each thing counted.
pub(super) const REASONS_MAX: usize = 48;
/// The word of all that have none.
pub(super) const OTHER: &str = "other";
const WORD_LENGTH_MAX: usize = 40;

#[derive(Debug, Clone, Default)]
pub(super) struct Reasons {
    known: Vec<(Box<str>, Total)>,
    other: Total,
}

impl Reasons {
    /// Takes what a node counts now.
    pub(super) fn advance(&mut self, counts: &[ReasonCount], same_boot: bool) {
        if !same_boot {
            self.other.restart();
            self.known.iter_mut().for_each(|(_, total)| total.restart());
        }
        let mut other = 0_u64;
        for count in counts {
            match self.place(&count.reason) {
                Some(total) => {
                    total.advance(count.total);
                }
                None => other = other.saturating_add(count.total),
            }
        }
        self.other.advance(other);
    }

    fn place(&mut self, reason: &str) -> Option<&mut Total> {
        let known = self.known.iter().position(|(word, _)| **word == *reason);
        let place = match known {
            Some(place) => place,
            None if self.known.len() < REASONS_MAX && is_word(reason) => {
                self.known.push((reason.into(), Total::default()));
                self.known.len() - 1
            }
            None => return None,
        };
        Some(&mut self.known[place].1)
    }

    /// Every reason with a series; none at all of a node that names none.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let known = self
            .known
            .iter()
            .map(|(word, total)| (&**word, total.get()));
        let other = (!self.known.is_empty()).then(|| (OTHER, self.other.get()));
        known.chain(other)
    }
}

fn is_word(reason: &str) -> bool {
    let is_letter =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_';
    (1..=WORD_LENGTH_MAX).contains(&reason.len())
        && reason != OTHER
        && reason.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> Vec<ReasonCount> {
        let counts = counts.iter().map(|(reason, total)| ReasonCount {
            reason: (*reason).to_owned(),
            total: *total,
        });
        counts.collect()
    }

    #[test]
    fn unknown_words_share_one_series_and_none_is_counted_twice() {
        let mut reasons = Reasons::default();
        let many: Vec<String> = (0..300).map(|number| format!("reason_{number}")).collect();
        for total in 1..=3 {
            let all: Vec<_> = many.iter().map(|word| (word.as_str(), total)).collect();
            reasons.advance(&counts(&all), true);
        }
        assert_eq!(reasons.iter().count(), REASONS_MAX + 1);
        let sum: u64 = reasons.iter().map(|(_, total)| total).sum();
        assert_eq!(sum, 900);
    }

    #[test]
    fn what_is_no_word_gets_no_label() {
        let mut reasons = Reasons::default();
        let long = "x".repeat(WORD_LENGTH_MAX + 1);
        let odd = ["a\"b", "Ä", "two words", "", "other", &long].map(|word| (word, 1));
        reasons.advance(&counts(&odd), true);
        reasons.advance(&counts(&[("malformed", 2)]), true);
        let shown: Vec<_> = reasons.iter().collect();
        assert_eq!(shown, [("malformed", 2), (OTHER, 6)]);
    }

    #[test]
    fn a_restart_takes_nothing_back() {
        let mut reasons = Reasons::default();
        reasons.advance(&counts(&[("malformed", 5), ("no word", 7)]), true);
        reasons.advance(&counts(&[("malformed", 6), ("no word", 9)]), false);
        let shown: Vec<_> = reasons.iter().collect();
        assert_eq!(shown, [("malformed", 11), (OTHER, 16)]);
    }
}
