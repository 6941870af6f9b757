//! Which packets of a session have come, and on which link: the newest 16 384.

use srt::Seq;

const WINDOW: u32 = 1 << 14;
/// Set for a packet that was sent again: it says nothing about where it was sent first.
const AGAIN: u8 = 0x80;

/// Remembers what has come: to tell a copy from a packet that came too late, and to know the
/// neighbours of a packet that has not come.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    newest: Option<Seq>,
    /// By sequence number; 0 has not come, else one more than the link's slot.
    marks: Box<[u8; WINDOW as usize]>,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self {
            newest: None,
            marks: Box::new([0; WINDOW as usize]),
        }
    }

    /// Notes the first arrival of a packet that belongs to the stream.
    pub(crate) fn insert(&mut self, seq: Seq, slot: usize, is_again: bool) {
        match self.newest.map(|newest| seq.offset(newest)) {
            None => self.restart(seq),
            Some(ahead) if ahead > 0 => self.advance(seq, ahead.unsigned_abs()),
            Some(_) => {}
        }
        if self.is_inside(seq) {
            let again = if is_again { AGAIN } else { 0 };
            self.marks[place(seq)] = (slot as u8 + 1) | again;
        }
    }

    /// Whether the packet has come; of one older than the window nobody knows.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.is_inside(seq) && self.marks[place(seq)] != 0
    }

    /// The link that brought the packet as it was first sent.
    pub(crate) fn slot(&self, seq: Seq) -> Option<usize> {
        let mark = self.marks[place(seq)];
        let is_known = self.is_inside(seq) && mark != 0 && mark & AGAIN == 0;
        is_known.then(|| usize::from(mark - 1))
    }

    fn is_inside(&self, seq: Seq) -> bool {
        self.newest
            .is_some_and(|newest| newest.distance(seq) < WINDOW)
    }

    fn advance(&mut self, seq: Seq, ahead: u32) {
        if ahead >= WINDOW {
            self.restart(seq);
            return;
        }
        for back in 0..ahead {
            self.marks[place(seq.sub(back))] = 0;
        }
        self.newest = Some(seq);
    }

    fn restart(&mut self, seq: Seq) {
        self.marks.fill(0);
        self.newest = Some(seq);
    }
}

const fn place(seq: Seq) -> usize {
    (seq.value() % WINDOW) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_map(
            first: u32,
            steps in prop::collection::vec((-300i64..400, 0..16_usize, any::<bool>()), 1..300),
        ) {
            let mut arrivals = Arrivals::new();
            let (mut model, mut at) = (BTreeMap::new(), i64::from(first) + (1 << 31));
            for (step, slot, is_again) in steps {
                at += step;
                let seq = Seq::new(at as u32);
                let known = model.get(&seq.value()).copied();
                prop_assert_eq!(arrivals.contains(seq), known.is_some());
                prop_assert_eq!(arrivals.slot(seq), known.flatten());
                arrivals.insert(seq, slot, is_again);
                model.insert(seq.value(), (!is_again).then_some(slot));
            }
        }
    }

    #[test]
    fn what_leaves_the_window_is_forgotten_and_its_place_is_free() {
        let mut arrivals = Arrivals::new();
        let first = Seq::new(0x7fff_fff0);
        arrivals.insert(first, 0, false);
        assert!(arrivals.contains(first));
        arrivals.insert(first.add(WINDOW), 0, false);
        assert!(!arrivals.contains(first), "outside");
        arrivals.insert(first.add(WINDOW + 10), 0, false);
        assert!(!arrivals.contains(first.add(WINDOW + 5)), "skipped");
        arrivals.insert(first.add(10 * WINDOW), 0, false);
        assert!(!arrivals.contains(first.add(WINDOW + 10)), "a jump");
    }
}
