//! What bounds the work that callers make.

use std::time::Instant;

use crate::Limits;
use crate::bucket::TokenBucket;
use crate::sources::SourceLimiter;

/// A relay's buckets, each with its own bound in [`Limits`].
#[derive(Debug)]
pub(crate) struct Buckets {
    /// Cookies for one source.
    pub(crate) inductions_by_source: SourceLimiter,
    /// Cookies for all.
    pub(crate) inductions: TokenBucket,
    /// Connection requests of one source.
    pub(crate) requests_by_source: SourceLimiter,
    /// Leases verified.
    pub(crate) lease_checks: TokenBucket,
}

impl Buckets {
    /// `keys` must be secret.
    pub(crate) fn new(keys: [[u8; 16]; 2], now: Instant, limits: &Limits) -> Self {
        let [inductions_key, requests_key] = keys;
        let bucket = |per_second: u32| TokenBucket::new(now, u64::from(per_second));
        Self {
            inductions_by_source: SourceLimiter::new(
                inductions_key,
                now,
                limits.inductions_per_source_max,
            ),
            inductions: bucket(limits.inductions_per_second_max),
            requests_by_source: SourceLimiter::new(
                requests_key,
                now,
                limits.handshakes_per_second_max,
            ),
            lease_checks: bucket(limits.lease_checks_per_second_max),
        }
    }
}
