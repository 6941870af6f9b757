//! Reports for a gateway that is away.

use std::collections::VecDeque;

use proto::telemetry as pb;

/// Nine minutes of them: a gateway believes no clock that is ten minutes off.
const REPORTS_MAX: usize = 540;
/// The memory that they take.
const BYTES_MAX: usize = 32 << 20;

/// The newest reports that nobody has taken yet, in order.
#[derive(Debug, Default)]
pub(super) struct Kept {
    reports: VecDeque<(pb::NodeReport, usize)>,
    bytes: usize,
}

impl Kept {
    /// Adds a report; how many of the oldest had to go.
    pub(super) fn push(&mut self, report: pb::NodeReport) -> usize {
        let bytes = bytes_of(&report);
        self.reports.push_back((report, bytes));
        self.bytes += bytes;
        let before = self.reports.len();
        while self.reports.len() > REPORTS_MAX || self.bytes > BYTES_MAX {
            self.pop();
        }
        before - self.reports.len()
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<pb::NodeReport> {
        let (report, bytes) = self.reports.pop_front()?;
        self.bytes -= bytes;
        Some(report)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }
}

/// About the memory of a report: what grows with sessions, players and links.
fn bytes_of(report: &pb::NodeReport) -> usize {
    let sessions = report.sessions.iter().map(|session| {
        let links = session.links.iter().map(|link| {
            size_of_val(link) + link.address.len() + link.carrier.as_ref().map_or(0, String::len)
        });
        let players = size_of_val(session.players.as_slice());
        size_of_val(session) + session.session_id.len() + players + links.sum::<usize>()
    });
    let node = report.node.as_ref();
    let reasons = node.map_or(0, |node| {
        let reasons = node.drops.iter().chain(&node.refusals);
        let reasons = reasons.map(|reason| size_of_val(reason) + reason.reason.len());
        reasons.sum()
    });
    size_of_val(report) + reasons + sessions.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(second: i64, players: usize) -> pb::NodeReport {
        pb::NodeReport {
            observed_at_unix_ms: second * 1000,
            sessions: vec![pb::SessionSample {
                players: vec![pb::PlayerSample::default(); players],
                ..pb::SessionSample::default()
            }],
            ..pb::NodeReport::default()
        }
    }

    fn times(mut kept: Kept) -> Vec<i64> {
        std::iter::from_fn(|| kept.pop())
            .map(|it| it.observed_at_unix_ms / 1000)
            .collect()
    }

    #[test]
    fn minutes_are_kept_and_the_oldest_go() {
        let mut kept = Kept::default();
        let dropped: usize = (0..600).map(|second| kept.push(report(second, 1))).sum();
        assert_eq!(dropped, 60);
        assert_eq!(times(kept), (60..600).collect::<Vec<_>>());
    }

    #[test]
    fn large_reports_are_bounded_by_their_memory() {
        let mut kept = Kept::default();
        let dropped: usize = (0..100)
            .map(|second| kept.push(report(second, 20_000)))
            .sum();
        assert!(dropped > 0 && kept.bytes <= BYTES_MAX);
        let times = times(kept);
        assert_eq!((times.len() + dropped, times.last()), (100, Some(&99)));
        let mut kept = Kept::default();
        assert_eq!(
            kept.push(report(1, 1_000_000)),
            1,
            "even if it is the only one"
        );
        assert_eq!((kept.bytes, kept.is_empty()), (0, true));
    }
}
