//! What an operator can set about publishers that come over several links.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use srtla::throttle;

use super::within;

/// Bounds and times of SRTLA groups. A *source* is an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Srtla {
    /// Groups at once.
    pub groups_max: u32,
    /// Links in a group.
    pub links_per_group_max: u32,
    /// Groups of one source that carry no stream; one more takes the place of its
    /// oldest.
    pub idle_groups_per_source_max: u32,
    /// A link silent for so long is gone.
    pub link_timeout_seconds: u64,
    /// A group is kept for so long after the last word of any link.
    pub group_timeout_seconds: u64,
    /// A sender that starts again behind the same port gets in once the old link
    /// was silent for so long. Senders give up on a node after four seconds.
    pub takeover_after_seconds: u64,
    /// A source whose streams are refused so often, for keys that are none …
    pub failures_max: u32,
    /// … within so long …
    pub failures_within_seconds: u64,
    /// … founds no groups for so long.
    pub blocked_seconds: u64,
    /// Sources remembered for that.
    pub blocked_sources_max: u32,
}

impl Default for Srtla {
    fn default() -> Self {
        let srtla = srtla::Config::default();
        let throttle = srtla.throttle;
        Self {
            groups_max: srtla.groups_max as u32,
            links_per_group_max: srtla.links_max as u32,
            idle_groups_per_source_max: srtla.idle_groups_per_source_max as u32,
            link_timeout_seconds: srtla.link_timeout.as_secs(),
            group_timeout_seconds: srtla.group_timeout.as_secs(),
            takeover_after_seconds: srtla.takeover_after.as_secs(),
            failures_max: throttle.failures_max,
            failures_within_seconds: throttle.within.as_secs(),
            blocked_seconds: throttle.blocked_for.as_secs(),
            blocked_sources_max: throttle.sources_max as u32,
        }
    }
}

impl Srtla {
    pub(super) fn validate(&self) -> Result<(), String> {
        for (name, value, max) in [
            ("groups_max", u64::from(self.groups_max), 20_000),
            ("links_per_group_max", self.links_per_group_max.into(), 16),
            (
                "idle_groups_per_source_max",
                self.idle_groups_per_source_max.into(),
                20_000,
            ),
            (
                "link_timeout_seconds",
                self.link_timeout_seconds,
                self.group_timeout_seconds,
            ),
            ("group_timeout_seconds", self.group_timeout_seconds, 3_600),
            (
                "takeover_after_seconds",
                self.takeover_after_seconds,
                self.link_timeout_seconds,
            ),
            ("failures_max", self.failures_max.into(), 10_000),
            (
                "failures_within_seconds",
                self.failures_within_seconds,
                3_600,
            ),
            ("blocked_seconds", self.blocked_seconds, 86_400),
            (
                "blocked_sources_max",
                self.blocked_sources_max.into(),
                65_536,
            ),
        ] {
            within(&format!("srtla.{name}"), value, 1, max)?;
        }
        Ok(())
    }

    pub(super) const fn registry(&self) -> srtla::Config {
        let (groups_max, links_max) = (self.groups_max as usize, self.links_per_group_max as usize);
        srtla::Config {
            groups_max,
            links_max,
            idle_groups_per_source_max: self.idle_groups_per_source_max as usize,
            link_timeout: Duration::from_secs(self.link_timeout_seconds),
            group_timeout: Duration::from_secs(self.group_timeout_seconds),
            takeover_after: Duration::from_secs(self.takeover_after_seconds),
            // Every link of the node may be another thread's.
            elsewhere_max: groups_max * links_max,
            throttle: throttle::Settings {
                failures_max: self.failures_max,
                within: Duration::from_secs(self.failures_within_seconds),
                blocked_for: Duration::from_secs(self.blocked_seconds),
                sources_max: self.blocked_sources_max as usize,
            },
        }
    }
}
