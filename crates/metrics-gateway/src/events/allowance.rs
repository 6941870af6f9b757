//! How many events an app may send: a bucket of them that fills at a steady rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many seconds' worth fit into the bucket, and one batch at least.
const BURST_SECONDS: u64 = 10;
const BURST_MIN: u64 = 1000;

/// The bucket. Each gateway has its own.
pub(crate) struct Allowance {
    /// Events in a second.
    rate: u64,
    state: Mutex<State>,
}

struct State {
    left: f64,
    at: Instant,
}

/// What is left of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// What fits into it.
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// Until it is full again.
    pub(crate) full_in: Duration,
}

impl Allowance {
    pub(crate) fn new(rate: u64, now: Instant) -> Self {
        let rate = rate.max(1);
        let left = burst(rate) as f64;
        Self {
            rate,
            state: Mutex::new(State { left, at: now }),
        }
    }

    pub(crate) const fn rate(&self) -> u64 {
        self.rate
    }

    /// Takes so many events.
    ///
    /// # Errors
    /// The time until there are so many.
    pub(crate) fn take(&self, events: u64, now: Instant) -> Result<Left, Duration> {
        let (rate, limit) = (self.rate as f64, burst(self.rate) as f64);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        let left = (state.left + passed * rate).min(limit);
        let wanted = (events as f64).min(limit);
        if left < wanted {
            return Err(Duration::from_secs_f64((wanted - left) / rate));
        }
        *state = State {
            left: left - wanted,
            at: now,
        };
        Ok(Left {
            limit: burst(self.rate),
            remaining: state.left as u64,
            full_in: Duration::from_secs_f64((limit - state.left) / rate),
        })
    }
}

fn burst(rate: u64) -> u64 {
    rate.saturating_mul(BURST_SECONDS).max(BURST_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_emptied_and_fills_at_its_rate() {
        let start = Instant::now();
        let allowance = Allowance::new(200, start);
        let left = allowance.take(1500, start).unwrap();
        assert_eq!((left.limit, left.remaining), (2000, 500));
        assert_eq!(left.full_in, Duration::from_millis(7500));
        let wait = allowance.take(1000, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(2500));
        assert!(allowance.take(1000, start + wait).is_ok());
        assert!(allowance.take(1, start + wait).is_err());
    }

    #[test]
    fn a_whole_batch_always_fits_in_the_end() {
        let start = Instant::now();
        let allowance = Allowance::new(1, start);
        assert!(allowance.take(1000, start).is_ok());
        let wait = allowance.take(1000, start).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1000));
        assert!(allowance.take(5000, start + wait).is_ok(), "more than fits");
    }
}
