//! A link's sample in the domain's words.

use std::time::Duration;

use model::telemetry::{LinkClaim, LinkSample, LinkTally, LinkType, LinkWindow};
use srtla::{SenderSample, Tally, Window};

/// Whose network it comes from is for others to find out.
pub(crate) fn sample(link: &srtla::LinkSample) -> LinkSample {
    LinkSample {
        number: link.number,
        address: link.peer,
        carrier: None,
        asn: None,
        link_type: LinkType::Unknown,
        uptime_ms: ms(link.uptime),
        silent_ms: ms(link.silent_for),
        total: tally(&link.total),
        last_second: window(&link.last_second, link.share_last_second),
        last_ten_seconds: window(&link.last_ten_seconds, link.share_last_ten_seconds),
        jitter_us: link.jitter_us,
        relative_delay_us: link.relative_delay_us,
        sender: link.sender.as_ref().map(claim),
    }
}

const fn tally(tally: &Tally) -> LinkTally {
    LinkTally {
        packets: tally.packets,
        bytes: tally.bytes,
        unique: tally.unique,
        duplicate: tally.duplicate,
        late: tally.late,
        retransmitted: tally.retransmitted,
        lost: tally.lost,
    }
}

fn window(window: &Window, share: f64) -> LinkWindow {
    LinkWindow {
        tally: tally(&window.tally),
        time_ms: window.time.as_millis() as u32,
        bitrate_bps: window.bitrate_bps(),
        share_permille: (share * 1000.0).round() as u32,
    }
}

fn claim(claim: &SenderSample) -> LinkClaim {
    LinkClaim {
        age_ms: ms(claim.age),
        rtt_ms: claim.rtt_ms,
        window: claim.info.window,
        in_flight: claim.info.in_flight,
        naks_total: claim.info.naks,
        bytes_per_second: claim.info.bytes_per_second,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
