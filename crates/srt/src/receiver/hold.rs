//! Gaps that are not reported at once: the stream comes over several paths, and what is missing
//! may only be on a slower one.

use std::time::Instant;

use super::{Receiver, seq_of};
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
        while let Some((end, gap)) = self.oldest_held() {
            let until = until(&gap);
            if until > now {
                self.nak.hold_until = Some(until);
                break;
            }
            self.release_before(now, end);
        }
    }

    /// The index behind the oldest gap that is held, and the gap.
    fn oldest_held(&self) -> Option<(u64, HeldGap)> {
        let gap = self.losses.first_from(self.nak.held_from?)?;
        let held = HeldGap {
            last: seq_of(gap.last),
            opened_at: gap.opened_at,
        };
        Some((gap.last + 1, held))
    }

    fn release_before(&mut self, now: Instant, end: u64) {
        let from = self.nak.held_from.replace(end).unwrap_or(end);
        self.nak.cursor = Some(self.nak.cursor.unwrap_or(from).min(from));
        let repeat_at = now + self.nak_interval(now);
        self.nak.repeat_at.get_or_insert(repeat_at);
    }
}
