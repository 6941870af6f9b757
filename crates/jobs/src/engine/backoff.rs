//! How long a failed job waits.

use std::time::Duration;

/// No job waits longer for its next attempt.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// The part of a delay that jitter may take away, so that jobs which failed
/// together do not come back together.
const JITTER_RATIO: f64 = 0.2;

/// The delay after the `tries`-th try: `tries`⁴ seconds, at most `max`, less up to
/// a fifth by `jitter` (0 to 1).
#[must_use]
pub fn delay(tries: u32, max: Duration, jitter: f64) -> Duration {
    let seconds = u64::from(tries.max(1)).saturating_pow(4);
    let full = Duration::from_secs(seconds).min(max).min(BACKOFF_MAX);
    full.mul_f64(1.0 - JITTER_RATIO * jitter.clamp(0.0, 1.0))
}

/// A random number from 0 to 1.
pub(crate) fn jitter() -> f64 {
    // Without random numbers there is no spread, which harms nobody.
    let random = getrandom::u64().unwrap_or(0);
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_with_the_fourth_power() {
        let at = |tries| delay(tries, BACKOFF_MAX, 0.0).as_secs();
        assert_eq!([at(0), at(1), at(2), at(3), at(4)], [1, 1, 16, 81, 256]);
        assert_eq!(at(8), 3600);
        assert_eq!(at(u32::MAX), 3600);
    }

    proptest! {
        #[test]
        fn delays_are_bounded_and_never_shrink(tries in 0..u32::MAX, max_ms in 1..7_200_000_u64, jitter in -1.0..2.0) {
            let max = Duration::from_millis(max_ms);
            let delay = delay(tries, max, jitter);
            let full = super::delay(tries, max, 0.0);
            prop_assert!(delay <= max.min(BACKOFF_MAX));
            prop_assert!(delay >= full.mul_f64(0.799));
            prop_assert!(super::delay(tries + 1, max, 0.0) >= full);
        }

        #[test]
        fn random_jitter_is_a_ratio(_ in 0..64_u8) {
            prop_assert!((0.0..1.0).contains(&jitter()));
        }
    }
}
