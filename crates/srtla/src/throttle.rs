//! Sources whose streams keep being refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::address::Prefix;

/// When a source is kept out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// So many failures …
    pub failures_max: u32,
    /// … within so long …
    pub within: Duration,
    /// … keep the source out for so long.
    pub blocked_for: Duration,
    /// Sources remembered; the one that failed longest ago makes room.
    pub sources_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            failures_max: 5,
            within: Duration::from_secs(60),
            blocked_for: Duration::from_secs(60),
            sources_max: 1024,
        }
    }
}

/// Counts failures by source: an IPv4 address or an IPv6 network of 64 bits. A failure has proven
/// its address, so nobody can have another kept out.
#[derive(Debug)]
pub(crate) struct Throttle {
    settings: Settings,
    sources: BTreeMap<Prefix, Source>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    failures: u32,
    first_at: Instant,
    last_at: Instant,
    blocked_until: Option<Instant>,
}

impl Throttle {
    pub(crate) const fn new(settings: Settings) -> Self {
        Self {
            settings,
            sources: BTreeMap::new(),
        }
    }

    /// Counts a failure; true when it is the one that gets the source blocked.
    pub(crate) fn failed(&mut self, now: Instant, from: SocketAddr) -> bool {
        let prefix = Prefix::new(from);
        self.make_room(prefix);
        let source = self.sources.entry(prefix).or_insert(Source {
            failures: 0,
            first_at: now,
            last_at: now,
            blocked_until: None,
        });
        if now.saturating_duration_since(source.first_at) > self.settings.within {
            (source.failures, source.first_at) = (0, now);
        }
        source.failures += 1;
        source.last_at = now;
        let blocks = source.failures >= self.settings.failures_max;
        if blocks {
            source.failures = 0;
            source.blocked_until = Some(now + self.settings.blocked_for);
        }
        blocks
    }

    pub(crate) fn is_blocked(&self, now: Instant, from: SocketAddr) -> bool {
        self.sources
            .get(&Prefix::new(from))
            .and_then(|source| source.blocked_until)
            .is_some_and(|until| now < until)
    }

    fn make_room(&mut self, prefix: Prefix) {
        if self.sources.len() < self.settings.sources_max || self.sources.contains_key(&prefix) {
            return;
        }
        let oldest = self.sources.iter().min_by_key(|(_, source)| source.last_at);
        if let Some(oldest) = oldest.map(|(prefix, _)| *prefix) {
            self.sources.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn host(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 9))
    }

    fn at(seconds: u64) -> Instant {
        start() + Duration::from_secs(seconds)
    }

    #[test]
    fn five_failures_in_a_minute_keep_a_source_out_for_a_minute() {
        let mut throttle = Throttle::new(Settings::default());
        let blocking: Vec<bool> = (0..5).map(|s| throttle.failed(at(s), host(1))).collect();
        assert_eq!(blocking, [false, false, false, false, true]);
        assert!(throttle.is_blocked(at(5), host(1)));
        assert!(!throttle.is_blocked(at(5), host(2)), "another source");
        assert!(!throttle.is_blocked(at(65), host(1)), "a minute later");
    }

    #[test]
    fn failures_far_apart_are_forgiven() {
        let mut throttle = Throttle::new(Settings::default());
        assert!((0..40).all(|n| !throttle.failed(at(n * 20), host(1))));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let settings = Settings {
            sources_max: 3,
            failures_max: 1,
            ..Settings::default()
        };
        let mut throttle = Throttle::new(settings);
        for n in 0..10 {
            throttle.failed(at(u64::from(n)), host(n));
        }
        assert_eq!(throttle.sources.len(), 3);
        let blocked: Vec<u8> = (0..10)
            .filter(|n| throttle.is_blocked(at(10), host(*n)))
            .collect();
        assert_eq!(blocked, [7, 8, 9]);
    }
}
