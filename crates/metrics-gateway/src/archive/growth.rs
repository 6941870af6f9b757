//! What a second added, from counters that begin anew with a connection, a link or a boot.

use model::live::Link;
use model::telemetry::PublisherSample;

use crate::point::Point;

/// A connection that is not older than this when it is seen first counts whole: all of it
/// came since nobody saw it. Of an older one nobody knows what was counted before.
const NEW_MS: u64 = 2_500;

/// What one second of a session, or of one of its links, added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) bytes: u64,
    pub(super) egress_bytes: u64,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) dropped: u64,
    pub(super) retransmitted: u64,
}

/// Of the session as a whole.
pub(super) fn of_session(before: Option<&Point>, point: &Point) -> Growth {
    let old = before.and_then(|before| before.publisher.as_ref());
    let new = point.publisher.as_ref();
    let publisher = new.map_or_else(Growth::default, |new| of_publisher(old, new));
    Growth {
        egress_bytes: before.map_or(0, |before| egress(before, point)),
        ..publisher
    }
}

fn of_publisher(old: Option<&PublisherSample>, new: &PublisherSample) -> Growth {
    let goes_on = |old: &&PublisherSample| {
        old.uptime_ms <= new.uptime_ms && old.bytes_total <= new.bytes_total
    };
    let old = match old.filter(goes_on) {
        Some(old) => *old,
        None if new.uptime_ms <= NEW_MS => PublisherSample::default(),
        None => *new,
    };
    Growth {
        bytes: new.bytes_total.saturating_sub(old.bytes_total),
        egress_bytes: 0,
        packets: new.packets_total.saturating_sub(old.packets_total),
        lost: new
            .packets_lost_total
            .saturating_sub(old.packets_lost_total),
        dropped: new
            .packets_dropped_total
            .saturating_sub(old.packets_dropped_total),
        retransmitted: new
            .packets_retransmitted_total
            .saturating_sub(old.packets_retransmitted_total),
    }
}

/// The point has the rate to all players: their counters come and go with them.
fn egress(before: &Point, point: &Point) -> u64 {
    let elapsed_ms = point.observed_at.since(before.observed_at).as_millis();
    let bits = u128::from(point.egress_bitrate_bps.unwrap_or(0)) * elapsed_ms / 1000;
    u64::try_from(bits / 8).unwrap_or(u64::MAX)
}

/// Of one link.
pub(super) fn of_link(before: Option<&Point>, link: &Link) -> Growth {
    let (number, new) = (link.identity.number, &link.figures);
    let links = before.map_or(&[][..], |before| &before.links);
    let old = links.iter().find(|old| old.identity.number == number);
    let old = old.map(|old| &old.figures);
    let goes_on = old.filter(|old| old.uptime_s <= new.uptime_s && old.bytes <= new.bytes);
    let old = match goes_on {
        Some(old) => *old,
        None if new.uptime_s * 1000 <= NEW_MS => model::live::Figures::default(),
        None => *new,
    };
    Growth {
        bytes: new.bytes.saturating_sub(old.bytes),
        egress_bytes: 0,
        packets: new.packets.saturating_sub(old.packets),
        lost: new.lost.saturating_sub(old.lost),
        dropped: 0,
        retransmitted: new.retransmitted.saturating_sub(old.retransmitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher(uptime_ms: u64, bytes_total: u64) -> PublisherSample {
        PublisherSample {
            uptime_ms,
            bytes_total,
            packets_total: bytes_total / 100,
            ..PublisherSample::default()
        }
    }

    #[test]
    fn a_connection_counts_from_its_beginning_or_from_where_it_was_seen() {
        let grown = |old: Option<&PublisherSample>, new| of_publisher(old, &new).bytes;
        assert_eq!(
            grown(Some(&publisher(5000, 700)), publisher(6000, 900)),
            200
        );
        assert_eq!(grown(None, publisher(900, 300)), 300, "it is new");
        assert_eq!(
            grown(None, publisher(90_000, 300)),
            0,
            "it was there before us"
        );
        assert_eq!(
            grown(Some(&publisher(5000, 700)), publisher(800, 100)),
            100,
            "another one"
        );
    }
}
