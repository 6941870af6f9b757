//! Which packets of a group have come: the newest 65 536 sequence numbers, a bit each.

use srt::Seq;

const WINDOW: u32 = 1 << 16;
const WORDS: usize = (WINDOW / 64) as usize;

/// Remembers what has come, to tell a copy from a packet that came too late.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    newest: Option<Seq>,
    bits: Box<[u64; WORDS]>,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self {
            newest: None,
            bits: Box::new([0; WORDS]),
        }
    }

    /// The newest packet that has come.
    pub(crate) const fn newest(&self) -> Option<Seq> {
        self.newest
    }

    /// Notes a packet that belongs to the stream.
    pub(crate) fn insert(&mut self, seq: Seq) {
        match self.newest.map(|newest| seq.offset(newest)) {
            None => self.restart(seq),
            Some(ahead) if ahead > 0 => self.advance(seq, ahead.unsigned_abs()),
            Some(_) => {}
        }
        if self.is_inside(seq) {
            let (word, bit) = place(seq);
            self.bits[word] |= bit;
        }
    }

    /// Whether the packet has come; of one older than the window nobody knows.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        let (word, bit) = place(seq);
        self.is_inside(seq) && self.bits[word] & bit != 0
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
            let (word, bit) = place(seq.sub(back));
            self.bits[word] &= !bit;
        }
        self.newest = Some(seq);
    }

    fn restart(&mut self, seq: Seq) {
        self.bits.fill(0);
        self.newest = Some(seq);
    }
}

const fn place(seq: Seq) -> (usize, u64) {
    let bit = seq.value() % WINDOW;
    ((bit / 64) as usize, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_list(first: u32, steps in prop::collection::vec(-300i64..400, 1..300)) {
            let mut seen = Seen::new();
            let (mut model, mut at) = (Vec::new(), i64::from(first) + (1 << 31));
            for step in steps {
                at += step;
                let seq = Seq::new(at as u32);
                prop_assert_eq!(seen.contains(seq), model.contains(&seq));
                seen.insert(seq);
                model.push(seq);
            }
        }
    }

    #[test]
    fn what_leaves_the_window_is_forgotten_and_its_place_is_free() {
        let mut seen = Seen::new();
        let first = Seq::new(0x7fff_fff0);
        seen.insert(first);
        assert!(seen.contains(first));
        seen.insert(first.add(WINDOW));
        assert!(!seen.contains(first), "outside");
        seen.insert(first.add(WINDOW + 10));
        assert!(!seen.contains(first.add(WINDOW + 5)), "skipped");
        seen.insert(first.add(10 * WINDOW));
        assert!(!seen.contains(first.add(WINDOW + 10)), "a jump");
        assert_eq!(seen.newest(), Some(first.add(10 * WINDOW)));
    }
}
