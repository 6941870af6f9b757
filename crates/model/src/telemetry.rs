//! What nodes report each second. Counters are monotonic since the node's boot.

use serde::Serialize;

use crate::{NodeId, SessionId, UnixMillis};

/// One second of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// The node.
    pub node_id: NodeId,
    /// Random at process start; the counters restart with it.
    pub boot_id: String,
    /// The node's clock; consumers age data out by it.
    pub observed_at: UnixMillis,
    /// The node as a whole.
    pub node: NodeSample,
    /// Every session it holds.
    pub sessions: Vec<SessionSample>,
}

/// A node's totals. Bytes are UDP payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct NodeSample {
    /// Bytes received.
    pub ingress_bytes_total: u64,
    /// Bytes sent.
    pub egress_bytes_total: u64,
    /// Datagrams received.
    pub ingress_datagrams_total: u64,
    /// Datagrams sent.
    pub egress_datagrams_total: u64,
    /// Datagrams dropped, all reasons.
    pub dropped_datagrams_total: u64,
    /// Publishers connected.
    pub publishers: u32,
    /// Players connected.
    pub players: u32,
}

/// One session on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionSample {
    /// The session.
    pub session_id: SessionId,
    /// Whether its publisher is connected.
    pub publishing: bool,
    /// The publisher's leg; absent before the first publisher.
    pub publisher: Option<PublisherSample>,
    /// A leg per connected player.
    pub players: Vec<PlayerSample>,
}

/// The leg from the publisher to the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PublisherSample {
    /// Payload bytes received.
    pub bytes_total: u64,
    /// Data packets received.
    pub packets_total: u64,
    /// Sequence numbers seen missing.
    pub packets_lost_total: u64,
    /// Missing ones that came after all.
    pub packets_recovered_total: u64,
    /// Missing ones given up.
    pub packets_dropped_total: u64,
    /// Packets that came twice.
    pub packets_duplicate_total: u64,
    /// Payload rate over the last second.
    pub bitrate_bps: u64,
    /// Smoothed round trip.
    pub rtt_us: u32,
    /// Negotiated latency.
    pub latency_ms: u32,
    /// Since this publisher connected.
    pub uptime_ms: u64,
    /// Loss reports sent to it.
    pub naks_sent_total: u64,
}

/// The leg from the node to one player.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PlayerSample {
    /// Payload bytes sent, retransmissions included.
    pub bytes_total: u64,
    /// Data packets sent.
    pub packets_total: u64,
    /// Retransmissions among them.
    pub packets_retransmitted_total: u64,
    /// Packets too late to send.
    pub packets_dropped_total: u64,
    /// Payload rate over the last second.
    pub bitrate_bps: u64,
    /// Smoothed round trip, as the player reports it.
    pub rtt_us: u32,
    /// Negotiated latency.
    pub latency_ms: u32,
    /// Since this player connected.
    pub uptime_ms: u64,
    /// Loss reports received from it.
    pub naks_received_total: u64,
}
