//! `RateLimit-Policy` and `RateLimit`, as draft-ietf-httpapi-ratelimit-headers-10 has them:
//!
//! ```text
//! RateLimit-Policy: "start";q=6;w=60     6 in 60 seconds
//! RateLimit: "start";r=4;t=20            4 are left, and 6 again in 20 seconds
//! ```

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::buckets::{Left, Rule};
use super::class::Class;

pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const LEFT: HeaderName = HeaderName::from_static("ratelimit");

pub(super) fn write(headers: &mut HeaderMap, class: Class, rule: Rule, left: Left) {
    let (class, window) = (class.as_str(), whole_seconds(rule.span()));
    let policy = format!("\"{class}\";q={};w={window}", rule.burst);
    let reset = whole_seconds(left.whole_in);
    let left = format!("\"{class}\";r={};t={reset}", left.remaining);
    for (name, value) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// Begun seconds count.
pub(super) const fn whole_seconds(duration: Duration) -> u128 {
    duration.as_millis().div_ceil(1000)
}
