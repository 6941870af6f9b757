//! The clocks of a measurement: when to act, and what the kernel stamps with.

use std::time::{Duration, Instant, SystemTime};

use nix::sys::prctl;

/// Nanoseconds of the system's clock, which stamps received datagrams too.
pub(super) fn wall_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Makes this thread sleep to the microsecond: the usual slack of 50 would make
/// bursts.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn sleep_precisely() -> nix::Result<()> {
    prctl::set_timerslack(1)
}

/// Sleeps until `at`, if it is not over.
pub(super) fn sleep_until(at: Instant) {
    let left = at.saturating_duration_since(Instant::now());
    if left > Duration::ZERO {
        std::thread::sleep(left);
    }
}
