//! What NOALBS's `WebSocket` is pushed each second: `/ws/{play key}`.

use model::UnixMillis;
use serde::Serialize;

use super::{NAME, kbps, ms};
use crate::stats::board::{Feed, Stream};

const KEEP_SCENE: u32 = 0;

#[derive(Serialize)]
pub(super) struct Message {
    r#type: &'static str,
    timestamp: i64,
    streams: [Entry; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stream_id: &'static str,
    feed: &'static str,
    bitrate: u32,
    /// Percent of the last second's packets that were lost.
    packet_loss: Option<f64>,
    rtt: Option<f64>,
    connected: bool,
}

pub(super) fn encode(feed: Feed<'_>, observed_at: UnixMillis) -> Message {
    let entry = match feed {
        Feed::Offline => entry(None, 0),
        Feed::Pause(stream) => entry(Some(stream), KEEP_SCENE),
        Feed::Live(stream) => {
            let bitrate = kbps(stream.publisher.bitrate_bps, KEEP_SCENE + 1);
            entry(Some(stream), bitrate)
        }
    };
    Message {
        r#type: "stats",
        timestamp: observed_at.0,
        streams: [entry],
    }
}

fn entry(stream: Option<&Stream>, bitrate: u32) -> Entry {
    Entry {
        stream_id: NAME,
        feed: NAME,
        bitrate,
        packet_loss: stream.map(|stream| percent(stream.lost_ratio)),
        rtt: stream.map(|stream| ms(stream.publisher.rtt_us)),
        connected: stream.is_some(),
    }
}

/// With two decimals.
fn percent(ratio: f64) -> f64 {
    (ratio * 10_000.0).round() / 100.0
}
