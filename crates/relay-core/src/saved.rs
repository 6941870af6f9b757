//! What a relay writes down, so that the next one on this node goes on with its
//! connections: see [`Relay::save`](crate::Relay::save).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::settings::{Delivery, Resume, Start};
use model::{SessionId, StreamId, UnixMillis};
use serde::{Deserialize, Serialize};
use srtla::SavedGroup;

use crate::Ingress;
use crate::secrets::Unshown;

/// Counts and clocks beyond this are no relay's.
const COUNT_MAX: u64 = 1 << 60;

/// A relay's clear connections at one moment. It names links and sockets, which
/// are secrets towards everybody but their peers: whoever keeps it keeps it as
/// private as a key.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    pub(crate) taken_at: UnixMillis,
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    /// Says which relay has a stream.
    pub(crate) stream_key: Unshown<[u8; 16]>,
    /// Makes the ids of groups.
    pub(crate) group_key: Unshown<[u8; 32]>,
    pub(crate) groups: Vec<SavedGroup>,
    pub(crate) streams: Vec<SavedStream>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedStream {
    pub(crate) id: StreamId,
    pub(crate) settings: SavedSettings,
    pub(crate) rate_bps_max: Option<u64>,
    pub(crate) timeline: SavedTimeline,
    pub(crate) next_index: u64,
    pub(crate) publisher: SavedPublisher,
    pub(crate) players: Vec<SavedPlayer>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedSettings {
    pub(crate) hold: Duration,
    pub(crate) resume: Resume,
    pub(crate) delivery: Delivery,
    pub(crate) start: Start,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SavedTimeline {
    /// The time on it when it was saved.
    pub(crate) now_us: i64,
    pub(crate) offset_us: i64,
}

/// What publishers and players have in common.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedConnection {
    pub(crate) socket_id: u32,
    pub(crate) caller: SocketAddr,
    pub(crate) caller_id: u32,
    pub(crate) source: SocketAddr,
    pub(crate) isn: u32,
    pub(crate) session: SessionId,
    /// When the caller brought its lease itself, the key that signed it.
    pub(crate) own_lease: Option<String>,
    pub(crate) lease_end: UnixMillis,
    /// What it has used of the bytes that its lease allows, when that has a bound.
    pub(crate) meter: Option<SavedMeter>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SavedMeter {
    pub(crate) used: u64,
    pub(crate) allowed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedPublisher {
    pub(crate) connection: SavedConnection,
    pub(crate) route: SavedRoute,
    pub(crate) latency: Duration,
    /// How long our side of the connection has been sending.
    pub(crate) clock: Duration,
    /// The receiver's first place that is missing or to come.
    pub(crate) ack_point: u64,
    pub(crate) index_shift: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum SavedRoute {
    Direct(SavedPath),
    /// A group's name.
    Group(u64),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedPlayer {
    pub(crate) connection: SavedConnection,
    pub(crate) path: SavedPath,
    pub(crate) id: u64,
    pub(crate) payload_max: usize,
    pub(crate) isn: u32,
    pub(crate) first_index: u64,
    pub(crate) timeline_offset_us: i64,
    /// As it was agreed, and as it is in force.
    pub(crate) latency_agreed: Duration,
    pub(crate) latency: Duration,
    pub(crate) window_packets: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct SavedPath {
    peer: SocketAddr,
    local_ip: Option<IpAddr>,
    socket: u8,
}

impl From<Ingress> for SavedPath {
    fn from(path: Ingress) -> Self {
        Self {
            peer: path.peer,
            local_ip: path.local_ip,
            socket: path.socket,
        }
    }
}

impl From<SavedPath> for Ingress {
    fn from(path: SavedPath) -> Self {
        Self {
            peer: path.peer,
            local_ip: path.local_ip,
            socket: path.socket,
        }
    }
}

impl Saved {
    /// When it was true.
    #[must_use]
    pub const fn taken_at(&self) -> UnixMillis {
        self.taken_at
    }

    /// Publishers and players in it.
    #[must_use]
    pub fn connections(&self) -> usize {
        let players = self.streams.iter().map(|stream| stream.players.len());
        self.streams.len() + players.sum::<usize>()
    }
}

impl SavedStream {
    /// Whether its numbers are some that a relay counts to: then nothing that is
    /// done with them overflows.
    pub(crate) fn is_sane(&self) -> bool {
        let publisher = &self.publisher;
        let counts = [self.next_index, publisher.ack_point];
        let clocks = [self.timeline.now_us, self.timeline.offset_us];
        let is_clock = |us: i64| us.unsigned_abs() < COUNT_MAX;
        counts.into_iter().all(|count| count < COUNT_MAX)
            && clocks.into_iter().all(is_clock)
            && publisher.clock.as_secs() < COUNT_MAX / 1_000_000
            && self.players.iter().all(|player| {
                is_clock(player.timeline_offset_us) && player.first_index <= self.next_index
            })
    }
}
