//! How often one principal may ask.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::Class;
use crate::limits::buckets::Rule;

const MINUTE_MS: u64 = 60_000;
const PER_MINUTE_MAX: u32 = 60_000;

/// Requests of one user (of one address, where nobody signs in) in a minute, all at once
/// or one by one; 0 is no limit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitsConfig {
    /// Starts of sessions.
    pub start: u32,
    /// Stops of sessions.
    pub stop: u32,
    /// Looks at sessions; each connection of a plugin takes 30.
    pub active: u32,
    /// Health reports; each connection of a plugin takes 2.
    pub health: u32,
    /// Looks at usage and at the fleet.
    pub usage: u32,
    /// Other looks.
    pub read: u32,
    /// Other changes.
    pub write: u32,
    /// Live views opened.
    pub live: u32,
    /// Whatever an operator does.
    pub ops: u32,
    /// Signing in, by address.
    pub sign_in: u32,
    /// Pages and their files, by address.
    pub page: u32,
    /// Tokens that are nobody's, by address.
    pub wrong_token: u32,
}

impl Default for RateLimitsConfig {
    fn default() -> Self {
        Self {
            start: 6,
            stop: 20,
            active: 600,
            health: 120,
            usage: 30,
            read: 600,
            write: 120,
            live: 120,
            ops: 6000,
            sign_in: 120,
            page: 600,
            wrong_token: 300,
        }
    }
}

impl RateLimitsConfig {
    /// No limits: for measurements and tests.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            start: 0,
            stop: 0,
            active: 0,
            health: 0,
            usage: 0,
            read: 0,
            write: 0,
            live: 0,
            ops: 0,
            sign_in: 0,
            page: 0,
            wrong_token: 0,
        }
    }

    const fn per_minute(&self, class: Class) -> u32 {
        match class {
            Class::Start => self.start,
            Class::Stop => self.stop,
            Class::Active => self.active,
            Class::Health => self.health,
            Class::Usage => self.usage,
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Live => self.live,
            Class::Ops => self.ops,
            Class::SignIn => self.sign_in,
            Class::Page => self.page,
            Class::WrongToken => self.wrong_token,
            Class::Unlimited => 0,
        }
    }

    /// The limit of a class, if it has one.
    pub(crate) fn rule(&self, class: Class) -> Option<Rule> {
        let burst = self.per_minute(class);
        (burst > 0).then(|| Rule {
            burst,
            // Whole milliseconds, as the clock has them.
            interval: Duration::from_millis(MINUTE_MS.div_ceil(burst.into())),
        })
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        let over = Class::ALL
            .iter()
            .find(|class| self.per_minute(**class) > PER_MINUTE_MAX);
        over.map_or(Ok(()), |class| {
            let name = class.as_str();
            Err(format!(
                "http.rate_limits.{name}: 0 to {PER_MINUTE_MAX} in a minute"
            ))
        })
    }
}
