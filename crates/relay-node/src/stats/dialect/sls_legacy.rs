//! SRT Live Server as it was, and NOALBS's `SrtLiveServer`: `/stats/{play key}?legacy=1`.
//! The names are libsrt's; counters are since the publisher connected.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{NAME, int32, kbps, mbps, ms, uptime_s};
use crate::stats::board::{Feed, Stream};

const KEEP_SCENE: u32 = 0;

#[derive(Serialize)]
pub(super) struct Body {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    publishers: BTreeMap<&'static str, Publisher>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Publisher {
    bitrate: u32,
    bytes_rcv_drop: u64,
    bytes_rcv_loss: u64,
    latency: u32,
    mbps_bandwidth: f64,
    mbps_recv_rate: f64,
    ms_rcv_buf: i32,
    pkt_recv: u64,
    pkt_rcv_drop: i32,
    pkt_rcv_loss: i32,
    rtt: f64,
    uptime: u64,
}

pub(super) fn encode(feed: Feed<'_>) -> Body {
    let (stream, bitrate) = match feed {
        Feed::Offline => return offline(),
        Feed::Pause(stream) => (stream, KEEP_SCENE),
        Feed::Live(stream) => (stream, kbps(stream.publisher.bitrate_bps, KEEP_SCENE + 1)),
    };
    Body {
        status: "ok",
        message: None,
        publishers: BTreeMap::from([(NAME, publisher(stream, bitrate))]),
    }
}

const fn offline() -> Body {
    Body {
        status: "ok",
        message: Some("Publisher is currently not streaming"),
        publishers: BTreeMap::new(),
    }
}

fn publisher(stream: &Stream, bitrate: u32) -> Publisher {
    let publisher = &stream.publisher;
    Publisher {
        bitrate,
        bytes_rcv_drop: stream.payload_bytes(publisher.packets_dropped_total),
        bytes_rcv_loss: stream.payload_bytes(stream.lost_packets()),
        latency: publisher.latency_ms,
        // The node does not probe the path: it carries at least what comes.
        mbps_bandwidth: mbps(publisher.bitrate_bps),
        mbps_recv_rate: mbps(publisher.bitrate_bps),
        ms_rcv_buf: int32(stream.buffered_ms().into()),
        pkt_recv: publisher.packets_total,
        pkt_rcv_drop: int32(publisher.packets_dropped_total),
        pkt_rcv_loss: int32(stream.lost_packets()),
        rtt: ms(publisher.rtt_us),
        uptime: uptime_s(publisher),
    }
}
