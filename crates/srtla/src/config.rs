//! What a registry is made with.

use std::time::Duration;

use crate::attribution::LINKS_MAX;
use crate::throttle;

/// Bounds and times. The defaults are what the field's receivers use, where they agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Groups at once.
    pub groups_max: usize,
    /// Links in a group, at most 16.
    pub links_max: usize,
    /// Groups of one source (IPv4 address, IPv6 /64) that carry no SRT session. One more takes the
    /// place of the source's oldest: many phones share an address, but a flood evicts only itself.
    pub idle_groups_per_source_max: usize,
    /// A link is dropped after so long without a word.
    pub link_timeout: Duration,
    /// A group is kept for so long after the last word of any link: a tunnel is survived without
    /// a new SRT handshake.
    pub group_timeout: Duration,
    /// A registration may take over a link that was silent for so long: a sender that starts again
    /// behind the same NAT port. Senders give up on a receiver after the same time.
    pub takeover_after: Duration,
    /// Addresses, and as many groups, known to be on other shards.
    pub elsewhere_max: usize,
    /// Sources whose streams keep being refused.
    pub throttle: throttle::Settings,
}

impl Config {
    pub(crate) fn bounded(self) -> Self {
        Self {
            links_max: self.links_max.min(LINKS_MAX),
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            groups_max: 1000,
            links_max: LINKS_MAX,
            idle_groups_per_source_max: 16,
            link_timeout: Duration::from_secs(10),
            group_timeout: Duration::from_secs(30),
            takeover_after: Duration::from_secs(4),
            elsewhere_max: 4096,
            throttle: throttle::Settings::default(),
        }
    }
}
