//! Which link most likely lost a packet.
//!
//! The receiver never learns which link a missing packet was sent on. But each link delivers in
//! order and takes its packets from the stream at a steady pace, so a loss leaves a hole in its
//! own sequence: the distance between the packets right before and right after the missing one is
//! about twice the link's usual distance, and about the usual one on every other link. The link
//! with the widest hole, measured in its own usual distances, is the likeliest.

use srt::{Seq, SeqRange};

const REMEMBERED: usize = 64;
/// With fewer packets nothing is known about a link's pace.
const KNOWN_MIN: usize = 4;

/// The last packets of a link that were sent for the first time.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    seqs: [Seq; REMEMBERED],
    next: usize,
    len: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            seqs: [Seq::new(0); REMEMBERED],
            next: 0,
            len: 0,
        }
    }
}

impl Recent {
    pub(crate) fn push(&mut self, seq: Seq) {
        self.seqs[self.next] = seq;
        self.next = (self.next + 1) % REMEMBERED;
        self.len = (self.len + 1).min(REMEMBERED);
    }

    /// How wide the hole around `lost` is, in usual distances; `newest` is the group's newest.
    pub(crate) fn hole(&self, lost: SeqRange, newest: Seq) -> Option<f64> {
        let seqs = &self.seqs[..self.len];
        let (mut oldest, mut latest) = (*seqs.first()?, *seqs.first()?);
        let (mut before, mut after) = (None, None);
        for seq in seqs.iter().copied() {
            oldest = earlier(oldest, seq);
            latest = later(latest, seq);
            if seq.is_before(lost.first()) {
                before = Some(before.map_or(seq, |best| later(best, seq)));
            } else {
                after = Some(after.map_or(seq, |best| earlier(best, seq)));
            }
        }
        if self.len < KNOWN_MIN {
            return None;
        }
        let hole = after.unwrap_or(later(newest, latest)).distance(before?);
        let usual = f64::from(latest.distance(oldest)) / (self.len - 1) as f64;
        (usual > 0.0).then(|| f64::from(hole) / usual)
    }
}

fn later(a: Seq, b: Seq) -> Seq {
    if b.is_after(a) { b } else { a }
}

fn earlier(a: Seq, b: Seq) -> Seq {
    if b.is_before(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets `first`, `first + step`, … below `end`, without `lost`.
    fn every(first: u32, step: usize, end: u32, lost: &[u32]) -> Recent {
        let mut recent = Recent::default();
        (first..end)
            .step_by(step)
            .filter(|seq| !lost.contains(seq))
            .for_each(|seq| recent.push(Seq::new(seq)));
        recent
    }

    #[test]
    fn the_link_with_a_hole_stands_out() {
        let lost = SeqRange::single(Seq::new(61));
        let hole = |recent: &Recent| recent.hole(lost, Seq::new(99)).unwrap();
        let often = every(0, 2, 100, &[]);
        let sometimes = every(1, 4, 100, &[61]);
        let rarely = every(3, 4, 100, &[]);
        assert!((hole(&often) - 1.0).abs() < 0.1);
        assert!(hole(&sometimes) > 1.8);
        assert!((hole(&rarely) - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_link_that_went_silent_has_the_widest_hole() {
        let lost = SeqRange::new(Seq::new(61), Seq::new(65)).unwrap();
        let silent = every(1, 2, 60, &[]).hole(lost, Seq::new(99)).unwrap();
        let alive = every(0, 2, 100, &[62, 64])
            .hole(lost, Seq::new(99))
            .unwrap();
        assert!(silent > alive, "{silent} {alive}");
    }

    #[test]
    fn nothing_is_said_about_a_link_that_just_began() {
        let lost = SeqRange::single(Seq::new(61));
        assert_eq!(every(90, 2, 95, &[]).hole(lost, Seq::new(99)), None);
        assert_eq!(Recent::default().hole(lost, Seq::new(99)), None);
        let all_after = every(70, 2, 99, &[]);
        assert_eq!(all_after.hole(lost, Seq::new(99)), None);
    }
}
