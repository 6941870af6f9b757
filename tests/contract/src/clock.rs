//! The plugin's clock, which a test may run faster.

use std::time::{Duration, Instant};

/// Counts from when it was made. What the plugin does every so often goes by it; how long
/// it bears others to take does not.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    factor: u32,
}

impl Clock {
    /// So many times as fast as everybody else's.
    #[must_use]
    pub fn faster(factor: u32) -> Self {
        Self {
            began: Instant::now(),
            factor: factor.max(1),
        }
    }

    /// The time since it began, as it runs.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed() * self.factor
    }

    /// Waits.
    pub fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause / self.factor);
    }

    /// Waits until it shows a time.
    pub fn sleep_until(&self, at: Duration) {
        self.sleep(at.saturating_sub(self.now()));
    }
}
