//! The sights of a run in order of time, and questions about them.

use crate::sight::{Card, Page, Sight};

/// Every sight since the browser was started first.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    sights: Vec<Sight>,
}

impl Timeline {
    /// Adds what was seen since.
    pub fn extend(&mut self, sights: impl IntoIterator<Item = Sight>) {
        // A page that is left may say its last word after the next one's first.
        self.sights.extend(sights);
        self.sights.sort_by_key(|sight| sight.at_ms);
    }

    /// Every sight as JSON, a line each.
    ///
    /// # Errors
    /// None that is known: sights are made of texts and numbers.
    pub fn lines(&self) -> serde_json::Result<String> {
        let lines: serde_json::Result<Vec<_>> =
            self.sights.iter().map(serde_json::to_string).collect();
        Ok(lines?.join("\n"))
    }

    /// What the dock shows now.
    #[must_use]
    pub fn latest(&self) -> Option<&Sight> {
        self.sights.last()
    }

    /// A connection as it is shown now.
    #[must_use]
    pub fn card(&self, name: &str) -> Option<&Card> {
        find(self.latest()?, name)
    }

    /// The sights of a span: the one that it begins with, and those in it.
    pub fn span(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &Sight> {
        let after = self.sights.partition_point(|sight| sight.at_ms <= from_ms);
        let begin = &self.sights[after.saturating_sub(1)..];
        begin.iter().take_while(move |sight| sight.at_ms <= to_ms)
    }

    /// A connection in a span, with the times from which it was shown so; `from_ms` is
    /// the earliest.
    pub fn cards(
        &self,
        name: &str,
        from_ms: u64,
        to_ms: u64,
    ) -> impl Iterator<Item = (u64, &Card)> {
        self.span(from_ms, to_ms)
            .filter_map(move |sight| Some((sight.at_ms.max(from_ms), find(sight, name)?)))
    }

    /// When a page with the dock first showed a connection, or its absence, like this.
    pub fn first(
        &self,
        name: &str,
        from_ms: u64,
        is_it: impl Fn(Option<&Card>) -> bool,
    ) -> Option<u64> {
        let sights = self.span(from_ms, u64::MAX);
        let mut docks = sights.filter(|sight| sight.page == Page::Dock);
        let found = docks.find(|sight| is_it(find(sight, name)));
        found.map(|sight| sight.at_ms.max(from_ms))
    }

    /// The longest time within a span in which a connection got no new figures,
    /// milliseconds.
    #[must_use]
    pub fn longest_wait_ms(&self, name: &str, from_ms: u64, to_ms: u64) -> u64 {
        let mut newest = None;
        let mut times = vec![from_ms];
        for (at_ms, card) in self.cards(name, from_ms, to_ms) {
            if card.newest_at_ms != newest {
                newest = card.newest_at_ms;
                times.push(at_ms);
            }
        }
        times.push(to_ms);
        let waits = times.windows(2).map(|pair| pair[1] - pair[0]);
        waits.max().unwrap_or(0)
    }

    /// How often a connection got new figures within a span.
    #[must_use]
    pub fn updates(&self, name: &str, from_ms: u64, to_ms: u64) -> usize {
        let newest = self
            .cards(name, from_ms, to_ms)
            .map(|(_, card)| card.newest_at_ms);
        let newest: Vec<_> = newest.collect();
        newest.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

fn find<'a>(sight: &'a Sight, name: &str) -> Option<&'a Card> {
    sight.cards.iter().find(|card| card.name == name)
}

/// The mean over a span of what sights show, each weighed by how long it was shown.
#[must_use]
pub fn mean<'a>(
    cards: impl Iterator<Item = (u64, &'a Card)>,
    to_ms: u64,
    figure: impl Fn(&Card) -> Option<f64>,
) -> Option<f64> {
    let shown: Vec<(u64, f64)> = cards
        .filter_map(|(at_ms, card)| Some((at_ms, figure(card)?)))
        .collect();
    let ends = shown.iter().skip(1).map(|(at_ms, _)| *at_ms);
    let (mut sum, mut time_ms) = (0.0, 0.0);
    for ((at_ms, value), end_ms) in shown.iter().zip(ends.chain([to_ms])) {
        let length_ms = end_ms.saturating_sub(*at_ms) as f64;
        sum += value * length_ms;
        time_ms += length_ms;
    }
    (time_ms > 0.0).then(|| sum / time_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(at_ms: u64, newest_at_ms: f64, bitrate: &str) -> Sight {
        let card = Card {
            name: "phone".into(),
            state: "live".into(),
            newest_at_ms: Some(newest_at_ms),
            figures: vec![bitrate.into()],
            ..Card::default()
        };
        Sight {
            at_ms,
            page: Page::Dock,
            cards: vec![card],
        }
    }

    fn timeline() -> Timeline {
        let mut timeline = Timeline::default();
        timeline.extend([
            sight(1000, 990.0, "1.0 Mbit/s"),
            sight(2000, 1990.0, "2.0 Mbit/s"),
            sight(2500, 1990.0, "2.0 Mbit/s"),
            sight(4500, 4490.0, "4.0 Mbit/s"),
        ]);
        timeline
    }

    #[test]
    fn a_span_begins_with_what_is_shown_then() {
        let timeline = timeline();
        let times: Vec<u64> = timeline
            .cards("phone", 1500, 3000)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(times, [1500, 2000, 2500]);
        let fast = |card: Option<&Card>| card.and_then(Card::bitrate_bps) == Some(2e6);
        assert_eq!(timeline.first("phone", 0, fast), Some(2000));
        assert_eq!(timeline.first("phone", 2200, fast), Some(2200));
        assert_eq!(
            timeline.first("other", 0, |card| card.is_none()),
            Some(1000)
        );
        assert_eq!(timeline.first("phone", 0, |card| card.is_none()), None);
    }

    #[test]
    fn the_longest_wait_is_between_new_figures() {
        assert_eq!(timeline().longest_wait_ms("phone", 1000, 5000), 2500);
        assert_eq!(timeline().longest_wait_ms("phone", 1000, 9000), 4500);
        assert_eq!(timeline().updates("phone", 1000, 5000), 2);
    }

    #[test]
    fn the_mean_is_weighed_by_time() {
        let timeline = timeline();
        let cards = timeline.cards("phone", 1000, 5500);
        let mean = mean(cards, 5500, Card::bitrate_bps).unwrap();
        assert!((mean - (1e6 + 2.5 * 2e6 + 4e6) / 4.5).abs() < 1.0, "{mean}");
    }
}
