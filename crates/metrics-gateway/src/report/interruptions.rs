//! When a stream, or one of its links, was not there.

use std::collections::BTreeMap;

use model::UnixMillis;
use serde::Serialize;

use super::Moments;

/// Seconds that must be missing in a step: one or two are a report that came late.
const MISSING_MIN_S: i64 = 3;
/// Interruptions that are listed; a link may flap all day.
const LISTED_MAX: usize = 500;

/// A time without a stream, or without one of its links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Interruption {
    /// The link; absent: the whole stream.
    pub(super) link: Option<u64>,
    /// The step in which it began.
    pub(super) from: UnixMillis,
    /// The step in which it was over; absent: it never was.
    pub(super) to: Option<UnixMillis>,
    /// About how long.
    pub(super) seconds: i64,
}

/// Every interruption, in order of its beginning; the whole stream's before its links'.
pub(super) fn find(moments: &Moments, width_ms: i64) -> Vec<Interruption> {
    let width_s = width_ms / 1000;
    let mut found = Vec::new();
    let mut stream = Watch::new(None);
    let mut links: BTreeMap<u64, Watch> = BTreeMap::new();
    let mut before: Option<i64> = None;
    for (at, moment) in moments {
        if let Some(gap_at) = before.filter(|before| at - before > width_ms) {
            let missing = (at - gap_at - width_ms) / 1000;
            stream.look(gap_at + width_ms, missing, &mut found);
        }
        let live = i64::from(moment.session.live_samples);
        // The first step and the last are as long as the session was there.
        let seen = i64::from(moment.session.samples).min(width_s);
        stream.look(*at, seen - live, &mut found);
        for number in moment.links.keys() {
            links
                .entry(*number)
                .or_insert_with(|| Watch::new(Some(*number)));
        }
        for (number, watch) in &mut links {
            let there = moment.links.get(number);
            let there = there.map_or(0, |link| i64::from(link.live_samples));
            watch.look(*at, live - there, &mut found);
        }
        before = Some(*at);
    }
    found.extend(stream.open);
    found.extend(links.into_values().filter_map(|watch| watch.open));
    found.sort_by_key(|one| (one.from, one.link));
    found.truncate(LISTED_MAX);
    found
}

/// A stream or a link, step by step.
struct Watch {
    link: Option<u64>,
    open: Option<Interruption>,
}

impl Watch {
    const fn new(link: Option<u64>) -> Self {
        Self { link, open: None }
    }

    /// Takes a step in which it was missing for so many seconds.
    fn look(&mut self, at: i64, missing_s: i64, found: &mut Vec<Interruption>) {
        if missing_s >= MISSING_MIN_S {
            let link = self.link;
            let open = self.open.get_or_insert(Interruption {
                link,
                from: UnixMillis(at),
                to: None,
                seconds: 0,
            });
            open.seconds += missing_s;
        } else if let Some(mut over) = self.open.take() {
            over.to = Some(UnixMillis(at));
            found.push(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::telemetry::session_steps::Figures;

    use super::*;
    use crate::report::Moment;

    const WIDTH_MS: i64 = 10_000;

    fn figures(samples: u32, live_samples: u32) -> Figures {
        Figures {
            samples,
            live_samples,
            ..Figures::default()
        }
    }

    /// Steps of ten seconds: how long the stream was there, and each of two links.
    fn moments(steps: &[(i64, u32, [u32; 2])]) -> Moments {
        let moment = |(at, live, links): &(i64, u32, [u32; 2])| {
            let mut moment = Moment::default();
            moment.session.add(&figures(10, *live));
            for (number, live) in (1..).zip(links) {
                if *live > 0 {
                    moment
                        .links
                        .entry(number)
                        .or_default()
                        .add(&figures(10, *live));
                }
            }
            (at * WIDTH_MS, moment)
        };
        steps.iter().map(moment).collect()
    }

    fn found(steps: &[(i64, u32, [u32; 2])]) -> Vec<(Option<u64>, i64, Option<i64>, i64)> {
        let found = find(&moments(steps), WIDTH_MS);
        let step = |at: UnixMillis| at.0 / WIDTH_MS;
        let found = found.iter();
        found
            .map(|one| (one.link, step(one.from), one.to.map(step), one.seconds))
            .collect()
    }

    #[test]
    fn a_link_that_goes_away_is_told_until_it_is_back() {
        let away = [
            (0, 10, [10, 10]),
            (1, 10, [10, 3]),
            (2, 10, [10, 0]),
            (3, 10, [10, 9]),
        ];
        assert_eq!(found(&away), [(Some(2), 1, Some(3), 17)]);
        assert_eq!(
            found(&away[..3]),
            [(Some(2), 1, None, 17)],
            "it never came back"
        );
    }

    #[test]
    fn a_stream_that_is_away_is_not_the_fault_of_its_links() {
        let away = [(0, 10, [10, 10]), (1, 0, [0, 0]), (2, 10, [10, 10])];
        assert_eq!(found(&away), [(None, 1, Some(2), 10)]);
    }

    #[test]
    fn steps_that_nobody_reported_are_missing() {
        let silent = [(0, 10, [10, 10]), (4, 10, [10, 10])];
        assert_eq!(found(&silent), [(None, 1, Some(4), 30)]);
    }

    #[test]
    fn a_report_that_came_late_is_no_interruption() {
        assert_eq!(
            found(&[(0, 10, [10, 10]), (1, 9, [8, 9]), (2, 10, [10, 10])]),
            []
        );
    }
}
