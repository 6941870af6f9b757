//! How long the control plane takes to write a heartbeat down.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Heartbeats whose answer is waited for; older ones are given up.
const UNANSWERED_MAX: usize = 8;

/// The heartbeats of one stream.
#[derive(Default)]
pub(super) struct Beats {
    /// That of the last one.
    sequence: u64,
    /// When those went out that the control plane has not answered yet.
    unanswered: VecDeque<(u64, Instant)>,
}

impl Beats {
    /// Numbers the next one.
    pub(super) fn next(&mut self, now: Instant) -> u64 {
        self.sequence += 1;
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.sequence, now));
        self.sequence
    }

    /// How long the answer took; those before it are answered by it as well.
    pub(super) fn answered(&mut self, sequence: u64, now: Instant) -> Option<Duration> {
        let answered = self.unanswered.iter().rposition(|it| it.0 <= sequence)?;
        let (asked, at) = self.unanswered.drain(..=answered).next_back()?;
        (asked == sequence).then(|| now - at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_timed_by_the_heartbeat_it_names() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut beats = Beats::default();
        assert_eq!((beats.next(at(0)), beats.next(at(100))), (1, 2));
        assert_eq!(beats.answered(2, at(130)), Some(Duration::from_millis(30)));
        assert_eq!(beats.answered(2, at(140)), None, "a duplicate");
        assert_eq!(beats.answered(1, at(150)), None, "out of order");
        assert_eq!(beats.answered(9, at(150)), None, "never asked");
    }

    #[test]
    fn heartbeats_without_answers_are_given_up() {
        let now = Instant::now();
        let mut beats = Beats::default();
        for _ in 0..100 {
            beats.next(now);
        }
        assert_eq!(beats.unanswered.len(), UNANSWERED_MAX);
        assert_eq!(beats.answered(1, now), None);
        assert_eq!(beats.answered(100, now), Some(Duration::ZERO));
        assert!(beats.unanswered.is_empty());
    }
}
