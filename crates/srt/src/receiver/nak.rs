//! Loss reports: what to ask for, and when again.

use std::time::{Duration, Instant};

use super::{Receiver, Report, seq_of};
use crate::loss::Gap;
use crate::seq::SeqRange;

/// A report of losses is repeated no sooner than this.
const NAK_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// Ranges in one loss report: two words each, and 364 words fit.
const NAK_RANGES_MAX: usize = 180;

#[derive(Debug)]
pub(super) struct NakState {
    /// A gap found just now, to be reported at once.
    pub(super) fresh: Option<SeqRange>,
    /// When the list is reported again.
    pub(super) repeat_at: Option<Instant>,
    /// Where the repetition under way goes on.
    pub(super) cursor: Option<u64>,
    /// Gaps from here on are held back; `None`: gaps are not held.
    pub(super) held_from: Option<u64>,
    /// When the oldest of them may be let go.
    pub(super) hold_until: Option<Instant>,
    pub(super) ranges: Vec<SeqRange>,
}

impl NakState {
    pub(super) fn new() -> Self {
        Self {
            fresh: None,
            repeat_at: None,
            cursor: None,
            held_from: None,
            hold_until: None,
            ranges: Vec::with_capacity(NAK_RANGES_MAX),
        }
    }
}

impl Receiver {
    pub(super) fn repeat_nak(&mut self, now: Instant) -> Option<Report<'_>> {
        let from = self.nak.cursor.take()?;
        let (interval, patience) = (self.nak_interval(), self.repair_patience(now));
        let released = from..self.nak.held_from.unwrap_or(u64::MAX);
        self.nak.ranges.clear();
        let gaps = self.losses.iter_mut();
        for gap in gaps.filter(|gap| released.contains(&gap.first)) {
            if self.nak.ranges.len() == NAK_RANGES_MAX {
                self.nak.cursor = Some(gap.first);
                break;
            }
            if is_due(gap, now, interval, patience) {
                self.nak.ranges.extend(gap.ask(now));
            }
        }
        if self.nak.ranges.is_empty() {
            return None;
        }
        self.statistics.naks += 1;
        Some(Report::Nak(&self.nak.ranges))
    }

    /// How often the list is looked through, and on one path reported: libsrt's measure, half of
    /// what a round trip may take.
    pub(super) fn nak_interval(&self) -> Duration {
        (self.rtt.patience() / 2).max(NAK_INTERVAL_MIN)
    }

    /// How long a repair may take on several paths, where each copy of a packet fills them more.
    fn repair_patience(&self, now: Instant) -> Option<Duration> {
        let is_held = self.nak.held_from.is_some();
        is_held.then(|| self.rtt.patience().max(self.repair.patience(now)))
    }
}

/// Whether `gap` is to be reported: for the first time, or again once its repair has had `patience`.
/// A repair that is lost must leave time for another: it never has more than half of what is left.
fn is_due(gap: &Gap, now: Instant, interval: Duration, patience: Option<Duration>) -> bool {
    gap.reported_at.is_none_or(|at| {
        let left = gap.deadline.saturating_duration_since(at);
        let patience = patience.map_or(interval, |patience| patience.min(left / 2).max(interval));
        at + patience <= now
    })
}

impl Gap {
    /// What of it is to be asked for at `now`, noted as reported: all that a repair can bring in
    /// time. After a long silence the sender would begin with what comes too late, and full links
    /// drop the rest behind it.
    pub(super) fn ask(&mut self, now: Instant) -> Option<SeqRange> {
        let first = self.first_in_time(now);
        let range =
            SeqRange::new(seq_of(first), seq_of(self.last)).filter(|_| first <= self.last)?;
        self.asked_at.get_or_insert(now);
        self.reported_at = Some(now);
        Some(range)
    }
}
