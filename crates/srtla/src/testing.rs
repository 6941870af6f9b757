//! What the unit tests share: one instant to count from.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The same instant at each call.
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    *START.get_or_init(Instant::now)
}

/// So many milliseconds.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
