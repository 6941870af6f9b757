//! Where callers come from, and how much each place may have.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use siphasher::sip::SipHasher24;

use crate::bucket::TokenBucket;

/// What counts as one source: an IPv4 address, or the network half of an IPv6
/// one, which is what a customer gets (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    V4(u32),
    V6(u64),
}

impl Source {
    pub(crate) fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

const BUCKETS: usize = 4096;

/// A bucket for each source. The table never grows: sources share buckets by a
/// keyed hash, so nobody can choose whom to share with.
#[derive(Debug)]
pub(crate) struct SourceLimiter {
    key: [u8; 16],
    buckets: Box<[TokenBucket]>,
}

impl SourceLimiter {
    /// `key` must be secret.
    pub(crate) fn new(key: [u8; 16], now: Instant, per_second: u32) -> Self {
        let bucket = TokenBucket::new(now, u64::from(per_second));
        Self {
            key,
            buckets: vec![bucket; BUCKETS].into_boxed_slice(),
        }
    }

    /// Whether `source` may have one more.
    pub(crate) fn allows(&mut self, now: Instant, source: SocketAddr) -> bool {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        match Source::of(source) {
            Source::V4(address) => hasher.write_u32(address),
            Source::V6(network) => hasher.write_u64(network),
        }
        let place = hasher.finish() as usize % BUCKETS;
        self.buckets[place].take(now, 1)
    }
}

/// How many connections each source has; one entry for each that has any.
#[derive(Debug, Default)]
pub(crate) struct SourceCounts {
    connections: BTreeMap<Source, u32>,
}

impl SourceCounts {
    pub(crate) const fn new() -> Self {
        Self {
            connections: BTreeMap::new(),
        }
    }

    pub(crate) fn of(&self, source: SocketAddr) -> u32 {
        let count = self.connections.get(&Source::of(source));
        count.copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, source: SocketAddr) {
        *self.connections.entry(Source::of(source)).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, source: SocketAddr) {
        let source = Source::of(source);
        if let Some(count) = self.connections.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 9))
    }

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn a_source_has_its_burst_and_then_its_rate() {
        let now = Instant::now();
        let mut limiter = SourceLimiter::new([1; 16], now, 5);
        let taken = (0..20).filter(|_| limiter.allows(now, at(1))).count();
        assert_eq!(taken, 5);
        assert!(limiter.allows(now, at(2)), "another source has its own");
        let later = now + Duration::from_millis(400);
        let taken = (0..20).filter(|_| limiter.allows(later, at(1))).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let ip = |text: &str| Source::of(SocketAddr::new(text.parse().unwrap(), 1));
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
        assert_ne!(ip("0:0:c000:201::"), ip("192.0.2.1"));
    }

    #[test]
    fn a_source_without_connections_leaves_nothing_behind() {
        let mut counts = SourceCounts::new();
        counts.add(at(1));
        counts.add(at(1));
        counts.add(at(2));
        assert_eq!((counts.of(at(1)), counts.of(at(3))), (2, 0));
        for host in [1, 1, 2, 2] {
            counts.remove(at(host));
        }
        assert!(counts.connections.is_empty());
    }
}
