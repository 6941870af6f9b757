//! What implementations of SRT do differently.

use std::time::Duration;

use srt::handshake::Latency;

use super::Role;

/// Which implementation a caller imitates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Habits {
    /// libsrt, from Haivision.
    #[default]
    Libsrt,
    /// The Moblin app's own: every message is number 1 and to be delivered in
    /// order, keepalives are answered with keepalives, both latencies are the
    /// same, and what is older than one and a half latencies is forgotten without
    /// a word.
    Moblin,
}

impl Habits {
    /// What is proposed when only the role's own latency is set.
    pub(super) fn wish(self, role: Role, latency: Duration) -> Latency {
        const UNSET_MS: u16 = 120;
        let latency_ms = u16::try_from(latency.as_millis()).unwrap_or(u16::MAX);
        let (receive_ms, send_ms) = match (self, role) {
            (Self::Libsrt, Role::Publisher) => (UNSET_MS, latency_ms),
            (Self::Libsrt, Role::Player) => (latency_ms, 0),
            (Self::Moblin, _) => (latency_ms, latency_ms),
        };
        Latency {
            receive_ms,
            send_ms,
        }
    }
}
