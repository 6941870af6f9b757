//! When the plugin asks.

use std::time::Duration;

/// How many failures in a row the plugin bears before it asks more seldom.
const FAILURES_BORNE: u32 = 2;

/// The plugin's timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Between two looks at a login, unless the answer says otherwise.
    pub login_poll: Duration,
    /// Between two looks at a session that is provisioned.
    pub provisioning_poll: Duration,
    /// How long it may be.
    pub provisioning_max: Duration,
    /// Between two health reports.
    pub heartbeat: Duration,
    /// The longest between two, after failures.
    pub heartbeat_max: Duration,
}

impl Timers {
    /// As the plugin has them.
    #[must_use]
    pub const fn real() -> Self {
        Self {
            login_poll: Duration::from_secs(3),
            provisioning_poll: Duration::from_secs(3),
            provisioning_max: Duration::from_secs(180),
            heartbeat: Duration::from_secs(30),
            heartbeat_max: Duration::from_secs(120),
        }
    }

    /// So many times as fast; what it waits for at most stays.
    #[must_use]
    pub fn faster(factor: u32) -> Self {
        let real = Self::real();
        Self {
            login_poll: real.login_poll / factor,
            provisioning_poll: real.provisioning_poll / factor,
            heartbeat: real.heartbeat / factor,
            heartbeat_max: real.heartbeat_max / factor,
            ..real
        }
    }
}

/// What came of a health report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The session lives.
    Alive,
    /// It is over (404): no more reports.
    Expired,
    /// Anything else.
    Failed,
}

/// The plugin's loop of health reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    timers: Timers,
    failures: u32,
    interval: Duration,
}

impl Heartbeat {
    /// A loop before its first report.
    #[must_use]
    pub const fn new(timers: Timers) -> Self {
        Self {
            timers,
            failures: 0,
            interval: timers.heartbeat,
        }
    }

    /// Until the next report; none when there is no next one.
    pub fn after(&mut self, verdict: Verdict) -> Option<Duration> {
        match verdict {
            Verdict::Expired => return None,
            Verdict::Alive => {
                self.failures = 0;
                self.interval = self.timers.heartbeat;
            }
            Verdict::Failed => {
                self.failures += 1;
                if self.failures > FAILURES_BORNE {
                    self.interval = (self.interval * 2).min(self.timers.heartbeat_max);
                }
            }
        }
        Some(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_more_seldom_from_the_third_failure_on() {
        let mut heartbeat = Heartbeat::new(Timers::real());
        let mut seconds = |verdict| heartbeat.after(verdict).map(|it| it.as_secs());
        let failed = [(); 6].map(|()| seconds(Verdict::Failed));
        assert_eq!(failed, [30, 30, 60, 120, 120, 120].map(Some));
        assert_eq!(seconds(Verdict::Alive), Some(30));
        assert_eq!(seconds(Verdict::Failed), Some(30));
        assert_eq!(seconds(Verdict::Expired), None);
    }
}
