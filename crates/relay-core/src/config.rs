//! What an operator can set on a relay.

use std::time::Duration;

use model::settings::{Delivery, Resume, Start};
use srt::crypto::RefreshAfter;

use crate::Shard;

/// Which callers a socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRole {
    /// Publishers and players; the stream id says which.
    Any,
    /// Publishers only.
    Publish,
    /// Players only.
    Play,
}

/// A relay's settings. Every limit is a hard bound.
#[derive(Debug, Clone)]
pub struct Config {
    /// The role of each socket; [`crate::Ingress::socket`] indexes it.
    pub sockets: Vec<PortRole>,
    /// This relay's place among those of its node.
    pub shard: Shard,
    /// How much the relay takes on.
    pub limits: Limits,
    /// What a player's latency is raised by, over the publisher's, so that a
    /// packet repaired late on the publisher's leg can still be repaired on
    /// the player's: about one round trip of the player.
    pub latency_margin: Duration,
    /// The latency a caller gets when it asks for less: by default what a libsrt
    /// listener has (`SRTO_RCVLATENCY` 120 ms), since callers count on it when
    /// they propose nothing.
    pub latency_min: Duration,
    /// Callers that ask for more are refused.
    pub latency_max: Duration,
    /// How long players are kept after their publisher went; a lease may say
    /// otherwise, as for the next three.
    pub hold: Duration,
    /// What players see when the publisher returns.
    pub resume: Resume,
    /// When packets go on to players.
    pub delivery: Delivery,
    /// Where joining players start.
    pub start: Start,
    /// A publisher silent for so long is gone.
    pub publisher_timeout: Duration,
    /// A player silent for so long is gone.
    pub player_timeout: Duration,
    /// Bounds and times of SRTLA groups; the groups are the node's.
    pub srtla: srtla::Config,
    /// How often the keys change that a player's packets are encrypted with.
    pub key_refresh: RefreshAfter,
}

/// How much a node takes on: each of its relays takes its share.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions held at once.
    pub sessions_max: u32,
    /// Publishers and players connected at once.
    pub connections_max: u32,
    /// Players of one stream; a lease may say less.
    pub players_per_stream_max: u32,
    /// Connection requests with a proven address that one source prefix (an
    /// IPv4 address, an IPv6 /64) may make in a second.
    pub handshakes_per_second_max: u32,
    /// Publishers and players connected at once from one source prefix. Many
    /// phones may share an address (CGNAT): this bounds abuse, not customers.
    pub connections_per_source_max: u32,
    /// Cookies handed out in a second, to all sources together.
    pub inductions_per_second_max: u32,
    /// Cookies handed out in a second to one source prefix, so that one source
    /// does not use up what is for all.
    pub inductions_per_source_max: u32,
    /// Leases verified in a second of callers that bring their own: each costs
    /// a signature check, on the thread that forwards.
    pub lease_checks_per_second_max: u32,
    /// Payload bytes that one stream keeps for retransmission: enough for the
    /// greatest latency at 50 Mbit/s.
    pub ring_bytes_max: usize,
    /// Payload bytes that all streams of the node keep. A stream takes what its
    /// rate and latency need, 0.8 MB at 6 Mbit/s and a second; beyond this bound
    /// each still has 128 KiB.
    pub rings_bytes_max: usize,
    /// Bytes queued between two drains of [`crate::Relay::drain_transmits`].
    pub transmit_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sockets: vec![PortRole::Any],
            shard: Shard::ONLY,
            limits: Limits::default(),
            latency_margin: Duration::from_millis(60),
            latency_min: Duration::from_millis(120),
            latency_max: Duration::from_secs(10),
            hold: Duration::from_secs(120),
            resume: Resume::Hold,
            delivery: Delivery::PassThrough,
            start: Start::Newest,
            publisher_timeout: Duration::from_secs(10),
            player_timeout: Duration::from_secs(10),
            srtla: srtla::Config::default(),
            key_refresh: RefreshAfter::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 500,
            connections_max: 16_384,
            players_per_stream_max: 64,
            handshakes_per_second_max: 20,
            connections_per_source_max: 512,
            inductions_per_second_max: 50_000,
            inductions_per_source_max: 200,
            lease_checks_per_second_max: 500,
            ring_bytes_max: 80 << 20,
            rings_bytes_max: 512 << 20,
            transmit_bytes_max: 8 << 20,
        }
    }
}
