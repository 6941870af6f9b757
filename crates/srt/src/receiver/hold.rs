//! Gaps that are not reported at once: the stream comes over several paths, and what is missing
//! may only be on a slower one.

use std::time::Instant;

use super::{Receiver, seq_of};
use crate::loss::Gap;
use crate::seq::Seq;

/// A gap that is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldGap {
    /// Its last missing packet.
    pub last: Seq,
    /// When the first packet behind it came.
    pub opened_at: Instant,
}

impl Receiver {
    /// From now on reports a new gap only after [`release_gaps`](Self::release_gaps) let it go.
    pub fn hold_gaps(&mut self) {
        self.nak.held_from = Some(self.highest + 1);
    }

    /// Lets go of the gaps whose time to wait is over, oldest first; call it after every packet
    /// and [`handle_timeout`](Self::handle_timeout). `until` says how long to wait for one; of two
    /// gaps, the older must not have to wait longer.
    pub fn release_gaps(&mut self, now: Instant, until: impl Fn(&HeldGap) -> Instant) {
        self.nak.hold_until = None;
        while let Some(gap) = self.oldest_held() {
            let until = until(&HeldGap {
                last: seq_of(gap.last),
                opened_at: gap.opened_at,
            });
            if until > now {
                self.nak.hold_until = Some(until);
                break;
            }
            self.release(now, &gap);
        }
    }

    fn oldest_held(&self) -> Option<Gap> {
        self.losses.first_from(self.nak.held_from?).copied()
    }

    /// Whether a gap there is held back: what is missing may be on its way.
    pub(super) fn is_held(&self, index: u64) -> bool {
        self.nak.held_from.is_some_and(|from| index >= from)
    }

    /// How many packets are missing in gaps that are held back.
    pub(super) fn held_packets(&self) -> u64 {
        let held = self.losses.iter().filter(|gap| self.is_held(gap.first));
        held.map(Gap::len).sum()
    }

    /// The oldest gap that is held is held no longer: what is missing in it is lost.
    fn release(&mut self, now: Instant, gap: &Gap) {
        self.statistics.lost += gap.len();
        let end = gap.last + 1;
        let from = self.nak.held_from.replace(end).unwrap_or(end);
        self.nak.cursor = Some(self.nak.cursor.unwrap_or(from).min(from));
        let repeat_at = now + self.nak_interval();
        self.nak.repeat_at.get_or_insert(repeat_at);
    }
}
