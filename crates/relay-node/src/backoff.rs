//! How long to wait before the next attempt: doubling, capped, with jitter so
//! that a fleet does not return at one moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(10);

/// Waiting times that grow until [`reset`](Self::reset).
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// Begins anew, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next waiting time: half to all of a duration that doubles each time.
    pub(crate) fn next(&mut self, random: u16) -> Duration {
        let base = self.next;
        self.next = (base * 2).min(MAX);
        let half = base / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u16::MAX))
    }
}

/// Sixteen bits of chance; the middle when the system has none.
pub(crate) fn chance() -> u16 {
    let mut bytes = [0; 2];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u16::from_be_bytes(bytes),
        Err(_) => u16::MAX / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_cap_and_starts_over() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(u16::MAX).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(0), FIRST / 2);
    }
}
