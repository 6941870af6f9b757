//! The links of a bonded publisher, as srtla's receiver shows its groups: `/links/{play key}`.

use std::net::SocketAddr;

use model::telemetry::{LinkSample, LinkType};
use serde::Serialize;

use super::{ms, rtt_ms};
use crate::stats::board::Stream;

#[derive(Serialize)]
pub(super) struct Body {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    /// Nothing that admits links: the number of its first link.
    id: String,
    total_bytes: u64,
    conn_count: usize,
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct Connection {
    addr: SocketAddr,
    asn_org: Option<String>,
    link_type: LinkType,
    bytes: u64,
    pkts: u64,
    /// Of the last second, so that readers who multiply it by the stream's bitrate
    /// get the link's.
    share_pct: f64,
    last_ms_ago: u64,
    uptime_s: u64,
    number: u64,
    bitrate_bps: u64,
    rtt_ms: Option<u32>,
    jitter_ms: f64,
}

/// A publisher that does not bond has no group.
pub(super) fn encode(stream: Option<&Stream>) -> Body {
    let links = stream.map_or(&[][..], |stream| &stream.links);
    Body {
        groups: Vec::from_iter(links.first().map(|first| group(first, links))),
    }
}

fn group(first: &LinkSample, links: &[LinkSample]) -> Group {
    Group {
        id: format!("{:#018x}", first.number),
        total_bytes: links.iter().map(|link| link.total.bytes).sum(),
        conn_count: links.len(),
        connections: links.iter().map(connection).collect(),
    }
}

fn connection(link: &LinkSample) -> Connection {
    Connection {
        addr: link.address,
        asn_org: link.carrier.clone(),
        link_type: link.link_type,
        bytes: link.total.bytes,
        pkts: link.total.packets,
        share_pct: f64::from(link.last_second.share_permille) / 10.0,
        last_ms_ago: link.silent_ms,
        uptime_s: link.uptime_ms / 1000,
        number: link.number,
        bitrate_bps: link.last_second.bitrate_bps,
        rtt_ms: rtt_ms(link),
        jitter_ms: ms(link.jitter_us),
    }
}
