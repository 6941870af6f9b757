//! One line of text, for chat bots and overlays: `/bitrate/{play key}`.

use model::telemetry::LinkSample;

use super::mbps;
use crate::stats::board::Feed;

/// A link that was silent for longer is not counted.
const SILENT_MS_MAX: u64 = 3000;

pub(super) fn encode(feed: Feed<'_>) -> String {
    let (Feed::Pause(stream) | Feed::Live(stream)) = feed else {
        return "offline\n".into();
    };
    let publisher = &stream.publisher;
    let (bitrate, rtt_ms) = (mbps(publisher.bitrate_bps), publisher.rtt_us / 1000);
    let links = links(&stream.links);
    format!("{bitrate:.1} Mbit/s · {rtt_ms} ms{links}\n")
}

fn links(links: &[LinkSample]) -> String {
    let heard = |link: &&LinkSample| link.silent_ms <= SILENT_MS_MAX;
    match links.iter().filter(heard).count() {
        _ if links.is_empty() => String::new(),
        1 => " · 1 link".into(),
        count => format!(" · {count} links"),
    }
}
