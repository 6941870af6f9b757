//! When the plugin asks.

use std::time::Duration;

/// Between two looks at a login, unless the answer says otherwise.
pub(crate) const LOGIN_POLL: Duration = Duration::from_secs(3);
/// Between two looks at a session that is provisioned, and two tries of what failed.
pub(crate) const PROVISIONING_POLL: Duration = Duration::from_secs(3);
/// How long it may be.
pub(crate) const PROVISIONING_MAX: Duration = Duration::from_secs(180);
/// Between two looks at the links.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// How old an access token, which is good for 15 minutes, becomes.
pub(crate) const REFRESH: Duration = Duration::from_secs(12 * 60);
/// Between two health reports.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest between two, after failures.
const HEARTBEAT_MAX: Duration = Duration::from_secs(120);
/// How many failures in a row the plugin bears before it asks more seldom.
const FAILURES_BORNE: u32 = 2;

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
    failures: u32,
    interval: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            failures: 0,
            interval: HEARTBEAT,
        }
    }
}

impl Heartbeat {
    /// Until the next report; none when there is no next one.
    pub fn after(&mut self, verdict: Verdict) -> Option<Duration> {
        match verdict {
            Verdict::Expired => return None,
            Verdict::Alive => *self = Self::default(),
            Verdict::Failed => {
                self.failures += 1;
                if self.failures > FAILURES_BORNE {
                    self.interval = (self.interval * 2).min(HEARTBEAT_MAX);
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
        let mut heartbeat = Heartbeat::default();
        let mut seconds = |verdict| heartbeat.after(verdict).map(|it| it.as_secs());
        let failed = [(); 6].map(|()| seconds(Verdict::Failed));
        assert_eq!(failed, [30, 30, 60, 120, 120, 120].map(Some));
        assert_eq!(seconds(Verdict::Alive), Some(30));
        assert_eq!(seconds(Verdict::Failed), Some(30));
        assert_eq!(seconds(Verdict::Expired), None);
    }
}
