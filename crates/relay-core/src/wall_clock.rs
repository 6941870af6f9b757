//! The time of day.

use std::time::Instant;

use model::UnixMillis;

/// The wall clock, carried on by the monotonic one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    read_at: Instant,
    reading: UnixMillis,
}

impl WallClock {
    pub(crate) const fn new(now: Instant, reading: UnixMillis) -> Self {
        Self {
            read_at: now,
            reading,
        }
    }

    pub(crate) fn at(&self, now: Instant) -> UnixMillis {
        self.reading
            .plus(now.saturating_duration_since(self.read_at))
    }

    /// When it will be `wall`; at once when it was.
    pub(crate) fn instant_of(&self, wall: UnixMillis) -> Instant {
        let ahead = wall.since(self.reading);
        self.read_at.checked_add(ahead).unwrap_or(self.read_at)
    }
}
