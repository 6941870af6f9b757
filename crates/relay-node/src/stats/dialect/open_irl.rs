//! SRT Live Server as OpenIRL has it, and NOALBS's `OpenIRL`: `/stats/{play key}`.

use model::telemetry::{LinkSample, PublisherSample};
use serde::Serialize;

use super::{kbps, ms, rtt_ms, uptime_s};
use crate::stats::board::{Feed, Stream};

const KEEP_SCENE: u32 = 1;

#[derive(Serialize)]
pub(super) struct Body {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<Publisher>,
}

#[derive(Serialize)]
struct Publisher {
    bitrate: u32,
    throughput: u32,
    buffer: u32,
    dropped_pkts: u64,
    latency: u32,
    /// Of a bonded publisher only when a link does not say its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<f64>,
    uptime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<Vec<Peer>>,
}

#[derive(Serialize)]
struct Peer {
    connection_id: String,
    bitrate: u32,
    throughput: u32,
    jitter: f64,
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
        publisher: Some(publisher(stream, bitrate)),
    }
}

const fn offline() -> Body {
    Body {
        status: "ok",
        message: Some("Publisher is currently not streaming"),
        publisher: None,
    }
}

fn publisher(stream: &Stream, bitrate: u32) -> Publisher {
    let publisher = &stream.publisher;
    let links = &stream.links;
    let links_bps = links.iter().map(|link| link.last_second.bitrate_bps).sum();
    let throughput = if links.is_empty() {
        publisher.bitrate_bps
    } else {
        links_bps
    };
    Publisher {
        bitrate,
        throughput: kbps(throughput, 0),
        buffer: stream.buffered_ms(),
        dropped_pkts: publisher.packets_dropped_total,
        latency: publisher.latency_ms.min(u16::MAX.into()),
        rtt: needs_own_rtt(links).then(|| ms(publisher.rtt_us)),
        uptime: uptime_s(publisher),
        peers: (!links.is_empty())
            .then(|| links.iter().map(|link| peer(link, publisher)).collect()),
    }
}

/// Whether the links' round trips do not say it all: readers weigh them by bitrate.
fn needs_own_rtt(links: &[LinkSample]) -> bool {
    let mut active = links
        .iter()
        .filter(|link| link.last_second.bitrate_bps > 0)
        .peekable();
    active.peek().is_none() || active.any(|link| rtt_ms(link).is_none())
}

fn peer(link: &LinkSample, publisher: &PublisherSample) -> Peer {
    let window = &link.last_second;
    let own_rtt_ms = rtt_ms(link).map(f64::from);
    Peer {
        connection_id: format!("{:08x}", link.number as u32),
        bitrate: kbps(first_copies_bps(link), 0),
        throughput: kbps(window.bitrate_bps, 0),
        jitter: ms(link.jitter_us),
        // Readers refuse a peer without it, and with it the whole answer.
        rtt: own_rtt_ms.unwrap_or_else(|| ms(publisher.rtt_us)),
        uptime: link.uptime_ms / 1000,
    }
}

/// What the link brought that no other had.
fn first_copies_bps(link: &LinkSample) -> u64 {
    let tally = &link.last_second.tally;
    let data = tally.unique + tally.duplicate + tally.late;
    let bps = u128::from(link.last_second.bitrate_bps) * u128::from(tally.unique);
    u64::try_from(bps / u128::from(data.max(1))).unwrap_or(u64::MAX)
}
