//! Where requests come from, and how much each place may have.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::StatsLimits;
use super::metrics::{self, Refusal};

/// What counts as one source: an IPv4 address, or the network half of an IPv6
/// one, which is what a customer gets (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Source(u128);

impl Source {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() >> 64 << 64),
        }
    }
}

const SLOTS: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// A minute's requests for each source, which may come at once and are granted
/// again evenly. The table never grows: sources share slots by a keyed hash, so
/// nobody can choose whom to share with.
pub(super) struct RateLimiter {
    hasher: RandomState,
    /// What one request costs: as long as it takes to be granted again.
    cost: Duration,
    /// For each slot, when all of its requests will have been granted again.
    full_at: Box<[Instant]>,
}

impl RateLimiter {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            cost: MINUTE / per_minute,
            full_at: vec![now; SLOTS].into_boxed_slice(),
        }
    }

    /// Takes one request of `source`.
    ///
    /// # Errors
    /// When it has none left: how long until it has one.
    pub(super) fn take(&mut self, source: Source, now: Instant) -> Result<(), Duration> {
        let slot = self.hasher.hash_one(source) as usize % SLOTS;
        let full_at = self.full_at[slot].max(now) + self.cost;
        let wait = full_at.saturating_duration_since(now + MINUTE);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.full_at[slot] = full_at;
        Ok(())
    }
}

/// The places for connections.
#[derive(Clone)]
pub(super) struct Places {
    taken: Arc<Mutex<Taken>>,
    max: u32,
    per_source_max: u32,
}

/// One entry for each source that has any.
#[derive(Default)]
struct Taken {
    all: u32,
    by_source: HashMap<Source, u32>,
}

/// A connection's place, given back when it is dropped.
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    source: Source,
}

impl Places {
    pub(super) fn new(limits: &StatsLimits) -> Self {
        Self {
            taken: Arc::default(),
            max: limits.connections_max,
            per_source_max: limits.connections_per_source_max,
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When all are taken, or all that a source may have.
    pub(super) fn take(&self, source: Source) -> Result<Place, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.max {
            return Err(Refusal::ConnectionsFull);
        }
        let of_source = taken.by_source.get(&source).copied().unwrap_or(0);
        if of_source >= self.per_source_max {
            return Err(Refusal::SourceFull);
        }
        taken.by_source.insert(source, of_source + 1);
        taken.all += 1;
        metrics::connections(taken.all);
        Ok(Place {
            taken: Arc::clone(&self.taken),
            source,
        })
    }
}

impl Place {
    pub(super) const fn source(&self) -> Source {
        self.source
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        metrics::connections(taken.all);
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_ne!(source("::"), source("0.0.0.0"));
    }

    #[test]
    fn a_minutes_requests_may_come_at_once_and_come_back_evenly() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(300, now);
        let (one, other) = (source("192.0.2.1"), source("192.0.2.2"));
        let taken = (0..1000).filter(|_| limiter.take(one, now).is_ok()).count();
        assert_eq!(taken, 300);
        assert_eq!(limiter.take(one, now), Err(Duration::from_millis(200)));
        assert_eq!(limiter.take(one, now + Duration::from_millis(200)), Ok(()));
        assert!(limiter.take(one, now + Duration::from_millis(200)).is_err());
        let later = now + MINUTE * 2;
        let taken = (0..1000)
            .filter(|_| limiter.take(one, later).is_ok())
            .count();
        assert_eq!(taken, 300, "no more than a minute's worth is saved up");
        // They share a slot once in 4096 runs.
        let mut limiter = RateLimiter::new(1, now);
        assert_eq!(limiter.take(one, now), Ok(()));
        let slot = |s: Source| limiter.hasher.hash_one(s) as usize % SLOTS;
        let shared = slot(one) == slot(other);
        assert_eq!(limiter.take(other, now).is_ok(), !shared);
    }

    #[test]
    fn places_are_bounded_by_source_and_in_all_and_given_back() {
        let places = Places::new(&StatsLimits {
            connections_max: 3,
            connections_per_source_max: 2,
            ..StatsLimits::default()
        });
        let (one, other) = (source("192.0.2.1"), source("192.0.2.2"));
        let first = places.take(one).ok().unwrap();
        let _second = places.take(one).ok().unwrap();
        assert!(matches!(places.take(one), Err(Refusal::SourceFull)));
        let _third = places.take(other).ok().unwrap();
        assert!(matches!(places.take(other), Err(Refusal::ConnectionsFull)));
        drop(first);
        let again = places.take(other).ok().unwrap();
        assert_eq!(again.source(), other);
        assert_eq!(places.taken.lock().unwrap().by_source.len(), 2);
    }
}
