//! Token buckets: so much a second, with a burst of a second's worth.

use std::time::{Duration, Instant};

/// A bucket that fills with time and is full after one second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    per_second: u64,
    burst: u64,
    micro_tokens: u64,
    refilled_at: Instant,
}

const MICRO: u64 = 1_000_000;
/// More tokens a second than this are as good as no bound.
const PER_SECOND_MAX: u64 = u64::MAX / MICRO;

impl TokenBucket {
    /// A full bucket of `per_second` tokens.
    pub(crate) fn new(now: Instant, per_second: u64) -> Self {
        Self::with_burst_min(now, per_second, 0)
    }

    /// A full bucket that holds at least `burst_min` tokens, however slowly it
    /// fills.
    pub(crate) fn with_burst_min(now: Instant, per_second: u64, burst_min: u64) -> Self {
        let per_second = per_second.min(PER_SECOND_MAX);
        let burst = per_second.max(burst_min).min(PER_SECOND_MAX);
        Self {
            per_second,
            burst,
            micro_tokens: burst * MICRO,
            refilled_at: now,
        }
    }

    /// Goes on at the rate of `other` with what is left here.
    pub(crate) fn adopt_rate(&mut self, other: Self) {
        (self.per_second, self.burst) = (other.per_second, other.burst);
    }

    /// Takes `tokens`, or none of them when there are fewer.
    pub(crate) fn take(&mut self, now: Instant, tokens: u64) -> bool {
        self.refill(now);
        let wanted = tokens.saturating_mul(MICRO);
        let has_them = self.micro_tokens >= wanted;
        if has_them {
            self.micro_tokens -= wanted;
        }
        has_them
    }

    /// Whole microseconds only: what is left of one counts the next time.
    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let refill = elapsed_us.saturating_mul(self.per_second);
        let full = self.burst * MICRO;
        self.micro_tokens = self.micro_tokens.saturating_add(refill).min(full);
        self.refilled_at += Duration::from_micros(elapsed_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn it_grants_a_seconds_worth_and_then_its_rate() {
        let start = start();
        let mut bucket = TokenBucket::new(start, 1000);
        let granted = (0..3000).filter(|_| bucket.take(start, 1)).count();
        assert_eq!(granted, 1000);
        // 0.7 µs steps: what is left of a microsecond is not lost.
        let step = Duration::from_nanos(700);
        let granted = (1..=1_000_000u32).filter(|i| bucket.take(start + step * *i, 1));
        assert_eq!(granted.count(), 700);
    }

    #[test]
    fn a_slow_bucket_still_holds_one_packet() {
        let start = start();
        let mut bucket = TokenBucket::with_burst_min(start, 100, 1472);
        assert!(bucket.take(start, 1472));
        assert!(!bucket.take(start + Duration::from_secs(14), 1472));
        assert!(bucket.take(start + Duration::from_secs(15), 1472));
    }

    #[test]
    fn a_new_rate_gives_no_new_burst() {
        let start = start();
        let mut bucket = TokenBucket::new(start, 1000);
        assert!(bucket.take(start, 1000));
        bucket.adopt_rate(TokenBucket::new(start, 5000));
        assert!(!bucket.take(start, 1));
        assert!(bucket.take(start + Duration::from_millis(10), 50));
    }

    #[test]
    fn boundless_rates_do_not_overflow() {
        let start = start();
        let mut bucket = TokenBucket::new(start, u64::MAX);
        assert!(bucket.take(start + Duration::from_secs(1 << 40), u64::MAX / MICRO));
    }
}
