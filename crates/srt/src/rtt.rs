//! Round-trip time: the smoothed estimate, and the book of ACKs it is measured by.

use std::time::{Duration, Instant};

const RTT_START: Duration = Duration::from_millis(100);
const VAR_START: Duration = Duration::from_millis(50);
const RTT_MAX: Duration = Duration::from_secs(60);

/// The smoothed round-trip time and its variance, as both ends compute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtt {
    smoothed: Duration,
    variance: Duration,
    measured: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        Self {
            smoothed: RTT_START,
            variance: VAR_START,
            measured: false,
        }
    }
}

impl Rtt {
    /// The smoothed round trip.
    #[must_use]
    pub const fn smoothed(&self) -> Duration {
        self.smoothed
    }

    /// Its variance.
    #[must_use]
    pub const fn variance(&self) -> Duration {
        self.variance
    }

    /// Whether there was a measurement yet.
    #[must_use]
    pub const fn is_measured(&self) -> bool {
        self.measured
    }

    /// Takes a measurement; the first one replaces the guess.
    pub fn sample(&mut self, sample: Duration) {
        let sample = sample.min(RTT_MAX);
        if self.measured {
            self.variance = (self.variance * 3 + sample.abs_diff(self.smoothed)) / 4;
            self.smoothed = (self.smoothed * 7 + sample) / 8;
        } else {
            *self = Self {
                smoothed: sample,
                variance: sample / 2,
                measured: true,
            };
        }
    }

    /// Takes over what the peer measured.
    pub fn adopt(&mut self, smoothed_us: u32, variance_us: u32) {
        let bounded = |us: u32| Duration::from_micros(u64::from(us)).min(RTT_MAX);
        *self = Self {
            smoothed: bounded(smoothed_us),
            variance: bounded(variance_us),
            measured: true,
        };
    }

    /// How long an answer may take before it counts as lost.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.smoothed + self.variance * 4
    }
}

const ACKS_MAX: usize = 256;

/// When the last ACKs were sent: at 100 a second, more than two seconds' worth.
#[derive(Debug)]
pub(crate) struct AckBook {
    sent: Box<[Option<(u32, Instant)>; ACKS_MAX]>,
}

impl AckBook {
    pub(crate) fn new() -> Self {
        Self {
            sent: Box::new([None; ACKS_MAX]),
        }
    }

    pub(crate) fn sent(&mut self, number: u32, at: Instant) {
        self.sent[number as usize % ACKS_MAX] = Some((number, at));
    }

    /// The round trip of ACK `number`; the first answer counts, copies do not.
    pub(crate) fn answered(&mut self, number: u32, now: Instant) -> Option<Duration> {
        let slot = &mut self.sent[number as usize % ACKS_MAX];
        let (_, at) = slot.filter(|(sent, _)| *sent == number)?;
        *slot = None;
        Some(now.saturating_duration_since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_sample_replaces_the_guess_and_later_ones_smooth() {
        let mut rtt = Rtt::default();
        rtt.sample(ms(40));
        assert_eq!((rtt.smoothed(), rtt.variance()), (ms(40), ms(20)));
        rtt.sample(ms(80));
        assert_eq!((rtt.smoothed(), rtt.variance()), (ms(45), ms(25)));
        assert_eq!(rtt.patience(), ms(145));
    }

    #[test]
    fn only_the_first_answer_to_a_known_ack_is_a_measurement() {
        let start = test_instant();
        let mut book = AckBook::new();
        book.sent(7, start);
        assert_eq!(book.answered(8, start + ms(5)), None);
        assert_eq!(book.answered(7 + ACKS_MAX as u32, start + ms(5)), None);
        assert_eq!(book.answered(7, start + ms(9)), Some(ms(9)));
        assert_eq!(book.answered(7, start + ms(10)), None);
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn test_instant() -> Instant {
        Instant::now()
    }
}
