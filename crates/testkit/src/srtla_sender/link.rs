//! A link as its sender sees it.

use std::time::{Duration, Instant};

use srt::Seq;

/// A link that hears nothing for so long is down.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Windows are in thousandths of a packet.
const UNIT: i32 = 1000;
const WINDOW_START: i32 = 20 * UNIT;
const WINDOW_MIN: i32 = UNIT;
const WINDOW_MAX: i32 = 60 * UNIT;
/// What an acknowledgement adds to a link that is used to its limit.
const WINDOW_GAIN: i32 = 29;
/// What a loss takes.
const WINDOW_LOSS: i32 = 100;
/// Packets remembered.
const SENT_MAX: usize = 256;

/// A link as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkState {
    /// Whether it is registered and heard.
    pub is_live: bool,
    /// Its window, in thousandths of a packet.
    pub window: i32,
    /// Packets sent and not acknowledged.
    pub in_flight: i32,
    /// Packets reported lost.
    pub naks: u32,
    /// The smoothed round trip, if it is measured.
    pub rtt_ms: Option<u32>,
    /// Data packets sent.
    pub packets: u64,
    /// Bytes sent: UDP payloads of every kind.
    pub bytes: u64,
    /// Bytes that a second of the time up to the last keepalive was given.
    pub bytes_per_second: u32,
}

#[derive(Debug)]
pub(super) struct Link {
    heard_at: Option<Instant>,
    said_at: Option<Instant>,
    window: i32,
    in_flight: i32,
    sent: [Option<Seq>; SENT_MAX],
    next: usize,
    naks: u32,
    rtt_ms: Option<u32>,
    packets: u64,
    bytes: u64,
    rate: Rate,
}

/// What was sent from one keepalive to the next.
#[derive(Debug, Default)]
struct Rate {
    bytes_per_second: u32,
    /// The last reading: when, and of how many bytes.
    read: Option<(Instant, u64)>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            heard_at: None,
            said_at: None,
            window: WINDOW_START,
            in_flight: 0,
            sent: [None; SENT_MAX],
            next: 0,
            naks: 0,
            rtt_ms: None,
            packets: 0,
            bytes: 0,
            rate: Rate::default(),
        }
    }
}

impl Link {
    pub(super) fn state(&self, now: Instant) -> LinkState {
        LinkState {
            is_live: self.is_live(now),
            window: self.window,
            in_flight: self.in_flight,
            naks: self.naks,
            rtt_ms: self.rtt_ms,
            packets: self.packets,
            bytes: self.bytes,
            bytes_per_second: self.rate.bytes_per_second,
        }
    }

    /// Whether it is registered and was heard lately.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.heard_at.is_some_and(|at| now < at + TIMEOUT)
    }

    pub(super) fn is_idle(&self, now: Instant, idle_max: Duration) -> bool {
        self.said_at.is_none_or(|at| now >= at + idle_max)
    }

    pub(super) const fn score(&self) -> i32 {
        self.window / (self.in_flight + 1)
    }

    /// A link that is down begins anew once it is registered again.
    pub(super) fn reset(&mut self) {
        *self = Self {
            said_at: self.said_at,
            naks: self.naks,
            packets: self.packets,
            bytes: self.bytes,
            ..Self::default()
        };
    }

    pub(super) fn registered(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Counts for a registered link only.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = self.heard_at.map(|_| now);
    }

    pub(super) const fn said(&mut self, now: Instant, bytes: usize) {
        self.said_at = Some(now);
        self.bytes += bytes as u64;
    }

    /// Ends the span over which the rate is measured.
    pub(super) fn read_rate(&mut self, now: Instant) {
        if let Some((at, bytes)) = self.rate.read {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            let sent = (self.bytes - bytes) as f64;
            // A span without length has no rate; the conversion saturates.
            self.rate.bytes_per_second = if seconds > 0.0 {
                (sent / seconds) as u32
            } else {
                0
            };
        }
        self.rate.read = Some((now, self.bytes));
    }

    /// A keepalive came back; the time it carries is counted from `start`.
    pub(super) fn answered(&mut self, now: Instant, start: Instant, time_ms: Option<u64>) {
        let now_ms = now.saturating_duration_since(start).as_millis() as u64;
        let sample = time_ms
            .filter(|time_ms| *time_ms > 0)
            .and_then(|time_ms| u32::try_from(now_ms.checked_sub(time_ms)?).ok());
        if let Some(sample) = sample {
            self.rtt_ms = Some(self.rtt_ms.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        }
    }

    pub(super) fn sent(&mut self, seq: Seq) {
        self.sent[self.next] = Some(seq);
        self.next = (self.next + 1) % SENT_MAX;
        self.in_flight += 1;
        self.packets += 1;
    }

    pub(super) fn has_sent(&self, seq: Seq) -> bool {
        self.sent.contains(&Some(seq))
    }

    pub(super) fn acknowledged(&mut self, seq: Seq) {
        if self.forget(seq) {
            self.in_flight = (self.in_flight - 1).max(0);
            if self.in_flight * UNIT > self.window {
                self.window = (self.window + WINDOW_GAIN).min(WINDOW_MAX);
            }
        }
    }

    pub(super) fn gain(&mut self) {
        self.window = (self.window + 1).min(WINDOW_MAX);
    }

    /// A lost packet is still counted as in flight until the next SRT acknowledgement.
    pub(super) fn lost(&mut self, seq: Seq) {
        if self.forget(seq) {
            self.window = (self.window - WINDOW_LOSS).max(WINDOW_MIN);
            self.naks += 1;
        }
    }

    /// The SRT receiver has everything before `next`.
    pub(super) fn clear_before(&mut self, next: Seq) {
        for sent in &mut self.sent {
            *sent = sent.filter(|seq| !seq.is_before(next));
        }
        self.in_flight = self.sent.iter().flatten().count() as i32;
    }

    fn forget(&mut self, seq: Seq) -> bool {
        let entry = self.sent.iter_mut().find(|sent| **sent == Some(seq));
        entry.is_some_and(|entry| entry.take().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_in_flight(count: u32) -> Link {
        let mut link = Link::default();
        (0..count).for_each(|seq| link.sent(Seq::new(seq)));
        link
    }

    #[test]
    fn only_a_link_used_to_its_limit_gains_by_acknowledgements() {
        let mut used = with_in_flight(30);
        used.acknowledged(Seq::new(3));
        assert_eq!((used.window, used.in_flight), (20_029, 29));
        used.acknowledged(Seq::new(3));
        assert_eq!(used.window, 20_029, "once a packet");
        let mut idle = with_in_flight(5);
        idle.acknowledged(Seq::new(3));
        assert_eq!((idle.window, idle.in_flight), (20_000, 4));
    }

    #[test]
    fn a_loss_costs_once_and_windows_have_bounds() {
        let mut link = with_in_flight(250);
        link.lost(Seq::new(1));
        link.lost(Seq::new(1));
        assert_eq!((link.window, link.naks, link.in_flight), (19_900, 1, 250));
        (2..250).for_each(|seq| link.lost(Seq::new(seq)));
        assert_eq!(link.window, 1000);
        (0..100_000).for_each(|_| link.gain());
        assert_eq!(link.window, 60_000);
    }

    #[test]
    fn an_srt_acknowledgement_settles_what_is_in_flight() {
        let mut link = with_in_flight(20);
        link.lost(Seq::new(19));
        link.clear_before(Seq::new(15));
        assert_eq!(link.in_flight, 4);
    }
}
