//! Token buckets, and the table of those that belong to sources.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use siphasher::sip::SipHasher24;

/// So many things a second, with a burst of a second's worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBucket {
    micro_tokens: u64,
    refilled_at: Instant,
}

const MICRO: u64 = 1_000_000;

impl TokenBucket {
    pub(crate) fn new(now: Instant, per_second: u32) -> Self {
        Self {
            micro_tokens: u64::from(per_second) * MICRO,
            refilled_at: now,
        }
    }

    /// Takes a token; false when there is none.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let elapsed_us = now.saturating_duration_since(self.refilled_at).as_micros() as u64;
        let refill = elapsed_us.saturating_mul(u64::from(per_second));
        let full = u64::from(per_second) * MICRO;
        self.micro_tokens = self.micro_tokens.saturating_add(refill).min(full);
        self.refilled_at = now;
        let has_token = self.micro_tokens >= MICRO;
        if has_token {
            self.micro_tokens -= MICRO;
        }
        has_token
    }
}

const SOURCES: usize = 4096;

/// A bucket for each source prefix. The table never grows: prefixes share
/// buckets by a keyed hash, so nobody can choose whom to share with.
#[derive(Debug)]
pub(crate) struct SourceLimiter {
    key: [u8; 16],
    per_second: u32,
    buckets: Box<[TokenBucket]>,
}

impl SourceLimiter {
    pub(crate) fn new(key: [u8; 16], now: Instant, per_second: u32) -> Self {
        let buckets = vec![TokenBucket::new(now, per_second); SOURCES].into_boxed_slice();
        Self {
            key,
            per_second,
            buckets,
        }
    }

    /// Whether `source` may have one more.
    pub(crate) fn allows(&mut self, now: Instant, source: SocketAddr) -> bool {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write_u64(prefix(source.ip()));
        let place = hasher.finish() as usize % SOURCES;
        self.buckets[place].take(now, self.per_second)
    }
}

/// An IPv4 address, or the network half of an IPv6 one.
fn prefix(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn a_source_has_its_burst_and_then_its_rate() {
        let now = Instant::now();
        let mut limiter = SourceLimiter::new([1; 16], now, 5);
        let at = |host: u8| SocketAddr::from(([192, 0, 2, host], 9));
        let taken = (0..20).filter(|_| limiter.allows(now, at(1))).count();
        assert_eq!(taken, 5);
        assert!(limiter.allows(now, at(2)), "another source has its own");
        let later = now + Duration::from_millis(400);
        let taken = (0..20).filter(|_| limiter.allows(later, at(1))).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let ip = |text: &str| prefix(text.parse().unwrap());
        assert_eq!(ip("2001:db8::1"), ip("2001:db8::ffff:1"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
    }
}
