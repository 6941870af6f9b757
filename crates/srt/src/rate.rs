//! How much arrives in a second.

use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// Packets and bytes over the last full second; costs two additions a packet.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    window_start: Instant,
    packets: u32,
    bytes: u64,
    packets_per_second: u32,
    bytes_per_second: u64,
}

impl Rate {
    /// Starts to count.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            window_start: now,
            packets: 0,
            bytes: 0,
            packets_per_second: 0,
            bytes_per_second: 0,
        }
    }

    /// Counts a packet.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        let elapsed = now.saturating_duration_since(self.window_start);
        if elapsed >= WINDOW {
            self.close_window(now, elapsed);
        }
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// Packets a second; zero after two silent seconds.
    #[must_use]
    pub fn packets_per_second(&self, now: Instant) -> u32 {
        if self.is_stale(now) {
            0
        } else {
            self.packets_per_second
        }
    }

    /// Bytes a second; zero after two silent seconds.
    #[must_use]
    pub fn bytes_per_second(&self, now: Instant) -> u64 {
        if self.is_stale(now) {
            0
        } else {
            self.bytes_per_second
        }
    }

    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.window_start) > WINDOW * 2
    }

    fn close_window(&mut self, now: Instant, elapsed: Duration) {
        let micros = elapsed.as_micros().max(1) as u64;
        let per_second = |count: u64| count.saturating_mul(1_000_000) / micros;
        self.packets_per_second = per_second(u64::from(self.packets)) as u32;
        self.bytes_per_second = per_second(self.bytes);
        (self.window_start, self.packets, self.bytes) = (now, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn a_steady_stream_shows_its_rate_and_silence_shows_zero() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for i in 0..300u64 {
            rate.add(start + Duration::from_millis(i * 10), 1000);
        }
        let end = start + Duration::from_millis(2990);
        assert!((99..=101).contains(&rate.packets_per_second(end)));
        assert!((99_000..=101_000).contains(&rate.bytes_per_second(end)));
        assert_eq!(rate.packets_per_second(end + Duration::from_secs(3)), 0);
    }
}
