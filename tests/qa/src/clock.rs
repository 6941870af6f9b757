//! The time that this program and the browser share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix milliseconds now, as `Date.now()` in the browser.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    millis(since.unwrap_or_default())
}

/// A duration in whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
