//! BELABOX's cloud, and NOALBS's `Belabox`: `/belabox/{play key}`. A stream that is
//! offline is there, with a bitrate of 0.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{NAME, int32, kbps, ms};
use crate::stats::board::Feed;

const OFFLINE: u32 = 0;
const KEEP_SCENE: u32 = 1;

#[derive(Serialize)]
pub(super) struct Body {
    publishers: BTreeMap<&'static str, Publisher>,
}

#[derive(Serialize, Default)]
struct Publisher {
    connected: bool,
    latency: u32,
    network: u32,
    bitrate: u32,
    rtt: f64,
    dropped_pkts: i32,
}

pub(super) fn encode(feed: Feed<'_>) -> Body {
    Body {
        publishers: BTreeMap::from([(NAME, publisher(feed))]),
    }
}

fn publisher(feed: Feed<'_>) -> Publisher {
    let (stream, bitrate) = match feed {
        Feed::Offline => return offline(),
        Feed::Pause(stream) => (stream, KEEP_SCENE),
        Feed::Live(stream) => (stream, kbps(stream.publisher.bitrate_bps, KEEP_SCENE + 1)),
    };
    let links = stream.links.iter();
    let links_bps: u64 = links.map(|link| link.last_second.bitrate_bps).sum();
    Publisher {
        connected: true,
        latency: stream.publisher.latency_ms,
        network: kbps(links_bps.max(stream.publisher.bitrate_bps), 0),
        bitrate,
        rtt: ms(stream.publisher.rtt_us),
        dropped_pkts: int32(stream.publisher.packets_dropped_total),
    }
}

fn offline() -> Publisher {
    Publisher {
        bitrate: OFFLINE,
        ..Publisher::default()
    }
}
