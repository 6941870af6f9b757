//! What an operator can set about the statistics.

use serde::{Deserialize, Serialize};

/// Bounds of the statistics over HTTP. A *source* is an IPv4 address or an IPv6
/// /64; behind a reverse proxy everybody is one source, so raise these there.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatsLimits {
    /// Requests of one source in a minute; so many may come at once. A tool that
    /// polls every 2 s takes 30.
    pub requests_per_minute_max: u32,
    /// Connections at once.
    pub connections_max: u32,
    /// Connections of one source.
    pub connections_per_source_max: u32,
    /// WebSockets among the connections.
    pub sockets_max: u32,
}

impl Default for StatsLimits {
    fn default() -> Self {
        Self {
            requests_per_minute_max: 300,
            connections_max: 1024,
            connections_per_source_max: 64,
            sockets_max: 512,
        }
    }
}

impl StatsLimits {
    /// Each bound by its name.
    pub(crate) const fn named(&self) -> [(&'static str, u32); 4] {
        [
            ("requests_per_minute_max", self.requests_per_minute_max),
            ("connections_max", self.connections_max),
            (
                "connections_per_source_max",
                self.connections_per_source_max,
            ),
            ("sockets_max", self.sockets_max),
        ]
    }
}
