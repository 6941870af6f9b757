//! The node's links of a stream over HTTP: `/links/{play key}` on its statistics port.

use anyhow::{Context, ensure};
use e2e::http::Client;
use serde::Deserialize;

/// The groups of one stream; one while it has a bonding sender.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Links {
    /// The sender's group.
    pub groups: Vec<Group>,
}

/// A sender's links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Group {
    /// A link each.
    pub connections: Vec<Connection>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Connection {
    /// Where it comes from, `ip:port`.
    pub addr: String,
    /// Its part of the group, percent.
    pub share_pct: f64,
    /// For how long it is silent, milliseconds.
    pub last_ms_ago: f64,
    /// The carrier.
    #[serde(default)]
    pub asn_org: Option<String>,
}

impl Links {
    /// What the node says now.
    ///
    /// # Errors
    /// When it does not answer, or with something else than groups and connections.
    pub fn fetch(stats: &Client, play_key: &str) -> anyhow::Result<Self> {
        let answer = stats.fetch(&format!("/links/{play_key}"))?;
        ensure!(answer.status == 200, "/links: status {}", answer.status);
        serde_json::from_str(&answer.text).context("/links is not groups and connections in JSON")
    }

    /// All links.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.groups.iter().flat_map(|group| &group.connections)
    }

    /// What the shares add up to, percent.
    #[must_use]
    pub fn share_sum_pct(&self) -> f64 {
        self.connections().map(|link| link.share_pct).sum()
    }

    /// Links that were heard within this time.
    #[must_use]
    pub fn heard_within(&self, ms: f64) -> usize {
        self.connections()
            .filter(|link| link.last_ms_ago <= ms)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_connections_are_read() {
        let links: Links = serde_json::from_value(serde_json::json!({"groups": [{
            "id": "0x0123456789abcdef", "total_bytes": 3000,
            "connections": [
                {"addr": "127.0.1.1:4000", "bytes": 2000, "pkts": 2, "share_pct": 66.7,
                 "last_ms_ago": 12, "uptime_s": 9, "asn_org": "T-Mobile"},
                {"addr": "127.0.9.1:4000", "bytes": 1000, "pkts": 1, "share_pct": 33.3,
                 "last_ms_ago": 3500, "uptime_s": 9},
            ],
        }]}))
        .unwrap();
        assert_eq!(links.connections().count(), 2);
        assert!((links.share_sum_pct() - 100.0).abs() < 0.01);
        assert_eq!(links.heard_within(3000.0), 1);
    }
}
