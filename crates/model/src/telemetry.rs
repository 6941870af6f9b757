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
    /// Packets received that it flagged as sent again.
    pub packets_retransmitted_total: u64,
    /// Packets received and not sent on, for the rate or the bytes of its lease.
    pub packets_limited_total: u64,
    /// Packets missing now that may still come.
    pub packets_missing: u32,
    /// Packets that wait for their time; none when they go on at once.
    pub packets_buffered: u32,
    /// How far behind the newest a packet came that was not sent again: the
    /// path reorders that much.
    pub reorder_packets_max: u32,
    /// Acknowledgements sent to it.
    pub acks_sent_total: u64,
    /// Acknowledgements that it confirmed.
    pub ackacks_received_total: u64,
    /// Variance of the round trip.
    pub rtt_var_us: u32,
    /// How far its clock has moved from the node's since it connected; positive
    /// when it runs fast.
    pub drift_us: i64,
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
    /// The player among those of its session, from the node's start on: rates
    /// are between samples of the same one.
    pub player_id: u64,
    /// Packets sent that it has not acknowledged.
    pub packets_in_flight: u32,
    /// Packets that it takes beyond what it acknowledged.
    pub window_packets: u32,
    /// Acknowledgements received from it.
    pub acks_received_total: u64,
    /// It was told that packets will not come, so often.
    pub drop_requests_sent_total: u64,
    /// Jumps of the stream that were kept from it.
    pub jumps_total: u64,
    /// Variance of the round trip, as the player reports it.
    pub rtt_var_us: u32,
    /// What arrives, as the player reports it.
    pub receive_rate_bps: u64,
}
