//! Whether a missing packet of a bonded stream is lost, or only on a slower link.
//!
//! A sender spreads a stream over links whose delays differ by tens of milliseconds, so packets
//! overtake each other all the time. A loss report for one that is merely late costs twice: it is
//! sent again, and the sender takes it for loss on a good link. But each link by itself keeps its
//! order, nearly. So a missing packet is lost once every link that carries data
//!
//! - has delivered something newer than the gap, or
//! - has had the time that its delay and jitter explain, and delivers nothing more;
//!
//! and in any case after [`Settings::hold_max`], or [`Settings::skew_max`] where the delay of the
//! links is known: a link that returns with an empty queue overtakes all that waits in the queues of
//! the others, which may be a second's worth. All of it depends on time, never on a count of
//! packets: a stream that pauses right after a loss is repaired as well.

use std::time::{Duration, Instant};

use srt::Seq;

use crate::transit::Progress;

/// How long at most, and how long a link is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// No gap is held longer for a link whose delay nobody knows.
    pub hold_max: Duration,
    /// No gap is held longer.
    pub skew_max: Duration,
    /// A link is still delivering for so long after a packet, beyond its jitter, and order on a link
    /// may be off by it.
    pub grace: Duration,
    /// A link without data for so long holds nothing back.
    pub active_for: Duration,
}

impl Settings {
    /// For a stream with this latency: at most a quarter of it, so that there is time for two
    /// repairs, and at most 250 ms; half of it where a link is known to take so long, for a repair
    /// would take as long.
    #[must_use]
    pub fn for_latency(latency: Duration) -> Self {
        Self {
            hold_max: (latency / 4).min(Duration::from_millis(250)),
            skew_max: latency / 2,
            grace: Duration::from_millis(5),
            active_for: Duration::from_secs(1),
        }
    }
}

/// A run of missing packets, as it was when the first packet behind it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last missing packet.
    pub last: Seq,
    /// When the packet behind it came.
    pub opened_at: Instant,
}

/// Until when to wait before the gap is reported lost, by what is known at `now`. It is lost when
/// that time has come; ask again after each packet, for the time may come closer or move away.
/// Of two gaps, the one that opened first is never lost later.
pub fn hold_until(
    settings: &Settings,
    now: Instant,
    gap: &Gap,
    links: impl Iterator<Item = Progress> + Clone,
) -> Instant {
    let unknown = gap.opened_at + settings.hold_max;
    let active =
        links.filter(|link| now.saturating_duration_since(link.data_at) <= settings.active_for);
    let fastest_us = active.clone().filter_map(|link| link.transit_us).min();
    active
        .filter(|link| !link.newest.is_some_and(|newest| newest.is_after(gap.last)))
        .map(|link| link_patience(settings, gap, fastest_us, &link).unwrap_or(unknown))
        .fold(gap.opened_at, Instant::max)
        .min(gap.opened_at + settings.skew_max)
}

/// Until when a packet that is on this link may be on its way, if the packet behind the gap came
/// on the fastest one; `None`: nobody knows.
fn link_patience(
    settings: &Settings,
    gap: &Gap,
    fastest_us: Option<i64>,
    link: &Progress,
) -> Option<Instant> {
    let skew = Duration::from_micros((link.transit_us? - fastest_us?).unsigned_abs());
    let jitter = Duration::from_micros(u64::from(link.jitter_us)) * 4;
    let expected = gap.opened_at + skew + jitter + settings.grace;
    Some(expected.max(link.data_at + jitter + settings.grace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ms, start};

    const SETTINGS: Settings = Settings {
        hold_max: ms(250),
        skew_max: ms(1000),
        grace: ms(5),
        active_for: ms(1000),
    };

    fn link(newest: u32, data_ms: u64, transit_ms: i64, jitter_ms: u32) -> Progress {
        Progress {
            newest: Some(Seq::new(newest)),
            data_at: start() + ms(data_ms),
            transit_us: Some(transit_ms * 1000),
            jitter_us: jitter_ms * 1000,
        }
    }

    /// Packets up to 99 are missing since a fast link brought number 100 at one second.
    fn gap() -> Gap {
        Gap {
            last: Seq::new(99),
            opened_at: start() + ms(1000),
        }
    }

    fn hold_at(now: Instant, links: &[Progress]) -> Duration {
        let gap = gap();
        hold_until(&SETTINGS, now, &gap, links.iter().copied()) - gap.opened_at
    }

    /// How long the gap is held as soon as it opens.
    fn hold(links: &[Progress]) -> Duration {
        hold_at(gap().opened_at, links)
    }

    #[test]
    fn on_one_link_a_gap_is_a_loss() {
        assert_eq!(hold(&[link(100, 1000, 10, 1)]), ms(0));
        assert_eq!(hold(&[]), ms(0));
    }

    #[test]
    fn links_that_are_past_the_gap_hold_nothing_back() {
        let links = [link(100, 1000, 10, 1), link(103, 990, 60, 4)];
        assert_eq!(hold(&links), ms(0));
    }

    #[test]
    fn a_slower_link_is_waited_for_as_long_as_its_delay_and_jitter_explain() {
        let fast = link(100, 1000, 10, 1);
        assert_eq!(hold(&[fast, link(90, 980, 60, 4)]), ms(50 + 16 + 5));
        assert_eq!(hold(&[fast, link(90, 980, 10, 4)]), ms(16 + 5));
    }

    #[test]
    fn the_slowest_link_decides_up_to_the_limit() {
        let fast = link(100, 1000, 10, 1);
        let (slow, slower) = (link(90, 990, 30, 1), link(80, 990, 150, 5));
        assert_eq!(hold(&[fast, slow, slower]), ms(140 + 20 + 5));
        assert_eq!(hold(&[fast, link(80, 990, 900, 5)]), ms(890 + 20 + 5));
        assert_eq!(hold(&[fast, link(80, 990, 1500, 5)]), ms(1000));
    }

    #[test]
    fn a_link_that_still_delivers_older_packets_is_waited_for() {
        let links = [link(130, 1100, 10, 1), link(95, 1100, 10, 1)];
        assert_eq!(hold_at(start() + ms(1100), &links), ms(100 + 4 + 5));
    }

    #[test]
    fn a_silent_link_is_forgotten() {
        let links = [link(100, 1000, 10, 1), link(50, 200, 100, 5)];
        assert_eq!(hold(&links), ms(90 + 20 + 5));
        assert_eq!(hold_at(start() + ms(1201), &links), ms(0));
    }

    #[test]
    fn an_unmeasured_link_is_waited_for_to_the_limit() {
        let unmeasured = Progress {
            transit_us: None,
            ..link(90, 990, 0, 0)
        };
        assert_eq!(hold(&[link(100, 1000, 10, 1), unmeasured]), ms(250));
    }

    #[test]
    fn a_link_that_just_began_is_waited_for_and_one_that_never_carries_data_is_not() {
        let began = Progress {
            newest: None,
            transit_us: None,
            ..link(0, 300, 0, 0)
        };
        assert_eq!(hold(&[link(100, 1000, 10, 1), began]), ms(250));
        let long_ago = Progress {
            data_at: start(),
            ..began
        };
        let links = [link(100, 1000, 10, 1), long_ago];
        assert_eq!(hold_at(start() + ms(1001), &links), ms(0));
    }

    #[test]
    fn the_limit_leaves_time_for_repair() {
        let limits = |latency| {
            let settings = Settings::for_latency(latency);
            (settings.hold_max, settings.skew_max)
        };
        assert_eq!(limits(ms(2000)), (ms(250), ms(1000)));
        assert_eq!(limits(ms(400)), (ms(100), ms(200)));
    }
}
