//! Counts over the last second and the last ten.

use std::time::{Duration, Instant};

/// What is counted of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// SRT packets, data and control.
    pub packets: u64,
    /// Their bytes, UDP payload.
    pub bytes: u64,
    /// Data packets that came here first.
    pub unique: u64,
    /// Data packets that had come before.
    pub duplicate: u64,
    /// Data packets given up before they came.
    pub late: u64,
    /// Data packets that the sender marked as sent again.
    pub retransmitted: u64,
    /// Packets reported missing that were most likely sent here.
    pub lost: u64,
}

impl Tally {
    const fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.unique += other.unique;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.retransmitted += other.retransmitted;
        self.lost += other.lost;
    }
}

const SLOT: Duration = Duration::from_millis(250);
const SLOTS: usize = 40;
/// Slots in a second.
pub(crate) const ONE_SECOND: usize = 4;
/// Slots in ten seconds.
pub(crate) const TEN_SECONDS: usize = SLOTS;

/// Counts since the beginning, and of each of the last forty quarters of a second.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    slot_start: Instant,
    current: Tally,
    /// Closed slots, a ring.
    slots: [Tally; SLOTS],
    next: usize,
    closed: usize,
    earlier: Tally,
}

/// Counts of some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// What was counted.
    pub tally: Tally,
    /// For how long: the window, or less for a young link.
    pub time: Duration,
}

impl Window {
    /// Bits a second, UDP payload; zero before there is a window.
    #[must_use]
    pub fn bitrate_bps(&self) -> u64 {
        let bits = u128::from(self.tally.bytes) * 8_000_000;
        let micros = self.time.as_micros();
        bits.checked_div(micros)
            .map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

impl Counts {
    pub(crate) const fn new(now: Instant) -> Self {
        const NOTHING: Tally = Tally {
            packets: 0,
            bytes: 0,
            unique: 0,
            duplicate: 0,
            late: 0,
            retransmitted: 0,
            lost: 0,
        };
        Self {
            slot_start: now,
            current: NOTHING,
            slots: [NOTHING; SLOTS],
            next: 0,
            closed: 0,
            earlier: NOTHING,
        }
    }

    /// The counts of now, to add to.
    pub(crate) fn at(&mut self, now: Instant) -> &mut Tally {
        let elapsed = now.saturating_duration_since(self.slot_start);
        if elapsed >= SLOT {
            self.close(elapsed);
        }
        &mut self.current
    }

    /// Closes the current slot and the empty ones after it.
    fn close(&mut self, elapsed: Duration) {
        let slots = elapsed.as_millis() / SLOT.as_millis();
        self.earlier.add(&self.current);
        let current = std::mem::take(&mut self.current);
        self.push(current);
        let silent = usize::try_from(slots - 1).unwrap_or(SLOTS);
        for _ in 0..silent.min(SLOTS) {
            self.push(Tally::default());
        }
        self.slot_start += SLOT * u32::try_from(slots).unwrap_or(u32::MAX);
    }

    fn push(&mut self, tally: Tally) {
        self.slots[self.next] = tally;
        self.next = (self.next + 1) % SLOTS;
        self.closed = (self.closed + 1).min(SLOTS);
    }

    /// Everything so far.
    pub(crate) fn total(&self) -> Tally {
        let mut total = self.earlier;
        total.add(&self.current);
        total
    }

    /// The last `slots` closed slots.
    pub(crate) fn window(&mut self, now: Instant, slots: usize) -> Window {
        let _current = self.at(now);
        let count = slots.min(self.closed);
        let mut tally = Tally::default();
        for back in 1..=count {
            tally.add(&self.slots[(self.next + SLOTS - back) % SLOTS]);
        }
        Window {
            tally,
            time: SLOT * count as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ms, start};

    fn counted(packets: u64, every_ms: u64) -> Counts {
        let mut counts = Counts::new(start());
        for packet in 0..packets {
            let tally = counts.at(start() + ms(packet * every_ms));
            tally.packets += 1;
            tally.bytes += 1000;
        }
        counts
    }

    #[test]
    fn a_steady_link_shows_its_rate_in_both_windows() {
        let mut counts = counted(1500, 10);
        let now = start() + ms(15_000);
        let second = counts.window(now, ONE_SECOND);
        let ten = counts.window(now, TEN_SECONDS);
        assert_eq!((second.tally.packets, second.time), (100, ms(1000)));
        assert_eq!((ten.tally.packets, ten.time), (1000, ms(10_000)));
        assert_eq!(second.bitrate_bps(), 800_000);
        assert_eq!(ten.bitrate_bps(), 800_000);
        assert_eq!(counts.total().packets, 1500);
    }

    #[test]
    fn silence_ages_out_of_the_short_window_first() {
        let mut counts = counted(1000, 10);
        let now = start() + ms(12_000);
        assert_eq!(counts.window(now, ONE_SECOND).bitrate_bps(), 0);
        assert_eq!(counts.window(now, TEN_SECONDS).tally.packets, 800);
        let later = start() + Duration::from_secs(3600);
        assert_eq!(counts.window(later, TEN_SECONDS).tally.packets, 0);
        assert_eq!(counts.total().packets, 1000);
    }

    #[test]
    fn a_young_link_is_measured_by_its_age() {
        let mut counts = counted(50, 10);
        let window = counts.window(start() + ms(500), ONE_SECOND);
        assert_eq!((window.time, window.bitrate_bps()), (ms(500), 800_000));
        assert_eq!(Counts::new(start()).window(start(), 4).bitrate_bps(), 0);
    }
}
