//! What nodes report each second. Counters are monotonic since the node's boot.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;

use crate::words::words;
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
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
    /// Sessions that it holds a lease for.
    pub sessions_held: u32,
    /// Callers admitted.
    pub admitted_total: u64,
    /// Datagrams dropped.
    pub drops: Vec<ReasonCount>,
    /// Callers refused.
    pub refusals: Vec<ReasonCount>,
    /// How long datagrams were in the node; absent when it does not measure that.
    pub forward_delay: Option<ForwardDelay>,
}

/// How often something happened for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// The reason's word.
    pub reason: String,
    /// Since boot.
    pub total: u64,
}

/// How long datagrams were in a node: from the wake-up that found them, and the pause
/// before it in which they may have come, to the moment when what came of them was sent.
/// What a datagram waits in the kernel while the one before is handled is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ForwardDelay {
    /// Datagrams within each of [`ForwardDelay::BOUNDS_US`] and not within the one before,
    /// and those beyond all.
    pub counts: [u64; ForwardDelay::BOUNDS_US.len() + 1],
    /// The sum of all, microseconds.
    pub sum_us: u64,
}

impl ForwardDelay {
    /// Upper bounds, microseconds.
    pub const BOUNDS_US: [u64; 12] = [
        20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
    ];

    /// Counts datagrams that were in the node for as long as `delay`.
    pub fn record(&mut self, delay: Duration, datagrams: u64) {
        let delay_us = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS_US.partition_point(|bound| *bound < delay_us);
        self.counts[bucket] += datagrams;
        self.sum_us = self
            .sum_us
            .saturating_add(delay_us.saturating_mul(datagrams));
    }
}

impl AddAssign for ForwardDelay {
    fn add_assign(&mut self, other: Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
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
    /// A link each, of a publisher that bonds; none of one that comes plainly.
    pub links: Vec<LinkSample>,
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

/// One link of a bonded publisher (SRTLA).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkSample {
    /// The link's number, the same as long as it lives: what a display keys on.
    pub number: u64,
    /// Where it comes from. It never leaves the tenant's own view.
    pub address: SocketAddr,
    /// The organisation that announces the address; absent when nobody knows.
    pub carrier: Option<String>,
    /// The number of its autonomous system.
    pub asn: Option<u32>,
    /// What the link most likely is.
    pub link_type: LinkType,
    /// Since it registered.
    pub uptime_ms: u64,
    /// Since anything last came over it.
    pub silent_ms: u64,
    /// Everything since it registered.
    pub total: LinkTally,
    /// The last second.
    pub last_second: LinkWindow,
    /// The last ten seconds.
    pub last_ten_seconds: LinkWindow,
    /// Interarrival jitter (RFC 3550).
    pub jitter_us: u32,
    /// How much longer packets travel on it than on the fastest link; absent until
    /// it has brought some.
    pub relative_delay_us: Option<u32>,
    /// What the sender says about it; absent when it says nothing.
    pub sender: Option<LinkClaim>,
}

words! {
    /// What a link most likely is, judged by the network that its address belongs to.
    /// Nobody can see from here whether a phone is on Wi-Fi: such a link is what
    /// the Wi-Fi hangs on.
    pub enum LinkType {
        /// A mobile network.
        Cellular = "cellular",
        /// A satellite network.
        Satellite = "satellite",
        /// A line to a building: cable, fibre, DSL.
        Fixed = "fixed",
        /// A data centre, or the exit of a VPN in one.
        Hosting = "hosting",
        /// An address that is not public: the same machine or network, or a tunnel.
        Local = "local",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

/// What was counted of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LinkTally {
    /// SRT packets, data and control.
    pub packets: u64,
    /// Their bytes, UDP payload.
    pub bytes: u64,
    /// Data packets that came here first.
    pub unique: u64,
    /// Data packets that had come before.
    pub duplicate: u64,
    /// Data packets given up before they came.
    pub late: u64,
    /// Data packets that the sender marked as sent again.
    pub retransmitted: u64,
    /// Packets reported missing that were most likely sent here.
    pub lost: u64,
}

/// What was counted of a link in the last time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LinkWindow {
    /// The counts.
    pub tally: LinkTally,
    /// For how long: the window, or less for a young link.
    pub time_ms: u32,
    /// UDP payload a second.
    pub bitrate_bps: u64,
    /// Its share of the bytes of all links, thousandths.
    pub share_permille: u32,
}

/// What a sender says about its link (extended keepalives). Nobody can check it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LinkClaim {
    /// How old the claim is.
    pub age_ms: u64,
    /// Its smoothed round trip; absent until it has one.
    pub rtt_ms: Option<u32>,
    /// Its congestion window, in thousandths of a packet.
    pub window: i32,
    /// Packets sent and not acknowledged.
    pub in_flight: i32,
    /// Packets of the link that were reported lost, since it began.
    pub naks_total: u32,
    /// What it sends, bytes a second.
    pub bytes_per_second: u32,
}
