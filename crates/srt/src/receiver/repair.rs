//! How long a repair takes, from the report of a loss to its packet.
//!
//! Several paths have several round trips, and a repair waits in the queue of a full one. The round
//! trips of acknowledgements do not tell: they go the quickest way, and there are none while a gap
//! keeps the acknowledgement back.

use std::time::{Duration, Instant};

use crate::loss::Gap;
use crate::rtt::Rtt;

/// What was measured longer ago says nothing.
const AGE_MAX: Duration = Duration::from_secs(5);

/// The time that repairs take.
#[derive(Debug, Default)]
pub(super) struct Repair {
    time: Rtt,
    measured_at: Option<Instant>,
}

impl Repair {
    /// A packet of `gap` came, sent again. When it was asked for more than once, it answers an
    /// earlier report if it came too soon for the last one.
    pub(super) fn sample(&mut self, now: Instant, gap: &Gap, rtt: &Rtt) {
        let (Some(first), Some(last)) = (gap.asked_at, gap.reported_at) else {
            return;
        };
        let is_told = first == last || now.saturating_duration_since(last) < rtt.smoothed() / 2;
        if is_told {
            if !self.is_current(now) {
                self.time = Rtt::default();
            }
            self.time.sample(now.saturating_duration_since(first));
            self.measured_at = Some(now);
        }
    }

    /// How long one takes, nearly always; nothing when that is not known. Half of what a round
    /// trip is given: a repair may have gone over a path that is dead, and has little time.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        if self.is_current(now) {
            self.time.smoothed() + self.time.variance() * 2
        } else {
            Duration::ZERO
        }
    }

    fn is_current(&self, now: Instant) -> bool {
        self.measured_at
            .is_some_and(|at| now.saturating_duration_since(at) <= AGE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn rtt(round_trip: Duration) -> Rtt {
        let mut rtt = Rtt::default();
        rtt.sample(round_trip);
        rtt
    }

    fn gap(asked_at: Instant, reported_at: Instant) -> Gap {
        Gap {
            first: 1,
            last: 1,
            due_from: asked_at,
            deadline: asked_at,
            opened_at: asked_at,
            asked_at: Some(asked_at),
            reported_at: Some(reported_at),
        }
    }

    #[test]
    fn a_repair_is_measured_and_what_is_old_is_forgotten() {
        let (now, rtt) = (start(), rtt(40 * MS));
        let mut repair = Repair::default();
        assert_eq!(repair.patience(now), Duration::ZERO);
        repair.sample(now + 80 * MS, &gap(now, now), &rtt);
        assert_eq!(repair.patience(now + 80 * MS), 80 * MS + 2 * (40 * MS));
        let later = now + AGE_MAX * 2;
        assert_eq!(repair.patience(later), Duration::ZERO);
        repair.sample(later + 20 * MS, &gap(later, later), &rtt);
        assert_eq!(repair.patience(later + 20 * MS), 20 * MS + 2 * (10 * MS));
    }

    #[test]
    fn of_two_reports_the_first_is_answered_if_the_packet_comes_too_soon_for_the_second() {
        let (now, rtt) = (start(), rtt(40 * MS));
        let mut repair = Repair::default();
        let twice = gap(now, now + 300 * MS);
        repair.sample(now + 340 * MS, &twice, &rtt);
        assert_eq!(
            repair.patience(now + 340 * MS),
            Duration::ZERO,
            "nobody knows"
        );
        repair.sample(now + 310 * MS, &twice, &rtt);
        assert_eq!(repair.patience(now + 310 * MS), 310 * MS + 2 * (155 * MS));
    }
}
