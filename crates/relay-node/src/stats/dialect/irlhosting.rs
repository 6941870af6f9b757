//! IRLHosting, and NOALBS's `Irlhosting`: `/irlhosting/{play key}`.

use model::UnixMillis;
use serde::Serialize;

use super::{NAME, kbps, mbps, ms, uptime_s};
use crate::stats::board::{Feed, Stream};

const KEEP_SCENE: u32 = 0;

#[derive(Serialize)]
pub(super) struct Body {
    service: &'static str,
    status: &'static str,
    timestamp: String,
    publishers: Vec<Publisher>,
    overall: Overall,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Publisher {
    stream: &'static str,
    bitrate: u32,
    #[serde(rename = "bitrate_mbps")]
    bitrate_mbps: String,
    bytes_received: u64,
    bytes_dropped: u64,
    bytes_lost: u64,
    mbps_bandwidth: f64,
    mbps_recv_rate: f64,
    rtt: f64,
    uptime: String,
    packet_stats: PacketStats,
    buffer: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PacketStats {
    packets_dropped: u64,
    packets_lost: u64,
}

/// The sums over the publishers: of one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overall {
    total_publishers: usize,
    total_bytes_received: u64,
    total_bytes_dropped: u64,
    total_bytes_lost: u64,
    average_bitrate: String,
    total_uptime: String,
}

pub(super) fn encode(feed: Feed<'_>, observed_at: UnixMillis) -> Body {
    let publisher = match feed {
        Feed::Offline => None,
        Feed::Pause(stream) => Some(publisher(stream, KEEP_SCENE)),
        Feed::Live(stream) => {
            let bitrate = kbps(stream.publisher.bitrate_bps, KEEP_SCENE + 1);
            Some(publisher(stream, bitrate))
        }
    };
    let publishers = Vec::from_iter(publisher);
    Body {
        service: "SRT",
        status: "ok",
        timestamp: timestamp(observed_at),
        overall: overall(&publishers),
        publishers,
    }
}

fn publisher(stream: &Stream, bitrate: u32) -> Publisher {
    let publisher = &stream.publisher;
    Publisher {
        stream: NAME,
        bitrate,
        bitrate_mbps: format!("{:.2}", mbps(publisher.bitrate_bps)),
        bytes_received: publisher.bytes_total,
        bytes_dropped: stream.payload_bytes(publisher.packets_dropped_total),
        bytes_lost: stream.payload_bytes(stream.lost_packets()),
        // The node does not probe the path: it carries at least what comes.
        mbps_bandwidth: mbps(publisher.bitrate_bps),
        mbps_recv_rate: mbps(publisher.bitrate_bps),
        rtt: ms(publisher.rtt_us),
        uptime: uptime(uptime_s(publisher)),
        packet_stats: PacketStats {
            packets_dropped: publisher.packets_dropped_total,
            packets_lost: stream.lost_packets(),
        },
        buffer: format!("{}ms", stream.buffered_ms()),
    }
}

fn overall(publishers: &[Publisher]) -> Overall {
    let only = publishers.first();
    let sum = |of: fn(&Publisher) -> u64| publishers.iter().map(of).sum();
    Overall {
        total_publishers: publishers.len(),
        total_bytes_received: sum(|p| p.bytes_received),
        total_bytes_dropped: sum(|p| p.bytes_dropped),
        total_bytes_lost: sum(|p| p.bytes_lost),
        average_bitrate: only.map_or_else(|| "0.00".into(), |p| p.bitrate_mbps.clone()),
        total_uptime: only.map_or_else(|| uptime(0), |p| p.uptime.clone()),
    }
}

/// As in `0d 1h 2m 3s`.
fn uptime(seconds: u64) -> String {
    let (minutes, s) = (seconds / 60, seconds % 60);
    let (hours, m) = (minutes / 60, minutes % 60);
    let (d, h) = (hours / 24, hours % 24);
    format!("{d}d {h}h {m}m {s}s")
}

/// RFC 3339 with milliseconds, UTC.
fn timestamp(at: UnixMillis) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    format!("{at:.3}")
}
