//! Which link most likely lost a packet.
//!
//! The receiver never learns which link a missing packet was sent on, but it sees the sender's
//! habits: from packets whose numbers follow each other, how often one link follows another. Some
//! senders take turns, others send short runs on each link. For a missing run between two packets
//! that came, these habits say how likely each link is at each place (the forward and backward
//! steps of a Markov chain), and a link that has lost more before is likelier to have lost again.

use srt::{Seq, SeqRange};

use crate::arrivals::Arrivals;

/// The most links that are told apart: those of one group.
pub(crate) const LINKS_MAX: usize = 16;
/// Longer runs are attributed as their first packets are.
const RUN_MAX: usize = 64;
/// Old habits count half once a link was followed so often.
const HABIT_MAX: u32 = 1024;
/// Packets that a link without a history is taken to have delivered, one more of them lost.
const PRIOR_PACKETS: f64 = 100.0;

type Weights = [f64; LINKS_MAX];

/// The sender's habits, and what each link has lost by them.
#[derive(Debug, Clone)]
pub(crate) struct Attribution {
    /// How often a packet on one link was followed by one on another.
    follows: [[u32; LINKS_MAX]; LINKS_MAX],
    delivered: Weights,
    lost: Weights,
}

impl Attribution {
    pub(crate) const fn new() -> Self {
        Self {
            follows: [[0; LINKS_MAX]; LINKS_MAX],
            delivered: [0.0; LINKS_MAX],
            lost: [0.0; LINKS_MAX],
        }
    }

    /// Notes the first arrival of a packet that was not sent again.
    pub(crate) fn arrived(&mut self, arrivals: &Arrivals, seq: Seq, slot: usize) {
        self.delivered[slot] += 1.0;
        if let Some(before) = arrivals.slot(seq.previous()) {
            self.follow(before, slot);
        }
        if let Some(after) = arrivals.slot(seq.next()) {
            self.follow(slot, after);
        }
    }

    fn follow(&mut self, before: usize, after: usize) {
        let row = &mut self.follows[before];
        row[after] += 1;
        if row[after] >= HABIT_MAX {
            row.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// A link is gone; its slot may be another's soon.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.follows[slot] = [0; LINKS_MAX];
        self.follows.iter_mut().for_each(|row| row[slot] = 0);
        (self.delivered[slot], self.lost[slot]) = (0.0, 0.0);
    }

    /// Attributes a missing run: how many of its packets each link is likely to have lost.
    pub(crate) fn lose(&mut self, arrivals: &Arrivals, range: SeqRange) -> Weights {
        let count = range.count() as usize;
        let places = count.min(RUN_MAX);
        let backward = self.backward(arrivals.slot(range.last().next()), places);
        let mut forward = self.start(arrivals.slot(range.first().previous()));
        let mut shares = [0.0; LINKS_MAX];
        for later in backward[..places].iter().rev() {
            forward = self.step(&forward);
            let likely = normalized(multiplied(&multiplied(&forward, later), &self.losing()));
            add(&mut shares, &likely, count as f64 / places as f64);
        }
        add(&mut self.lost, &shares, 1.0);
        shares
    }

    /// For each place, the last one first: how likely what follows it is, by link.
    fn backward(&self, after: Option<usize>, places: usize) -> [Weights; RUN_MAX] {
        let mut all = [[1.0; LINKS_MAX]; RUN_MAX];
        let mut later = after.map_or([1.0; LINKS_MAX], only);
        for weights in &mut all[..places] {
            later = normalized(self.step_back(&later));
            *weights = later;
        }
        all
    }

    fn start(&self, before: Option<usize>) -> Weights {
        before.map_or(self.delivered, only)
    }

    fn step(&self, from: &Weights) -> Weights {
        let mut to = [0.0; LINKS_MAX];
        for (before, weight) in from.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            add(&mut to, &self.habit(before), *weight);
        }
        normalized(to)
    }

    fn step_back(&self, to: &Weights) -> Weights {
        let likely = |before| multiplied(&self.habit(before), to).iter().sum();
        std::array::from_fn(likely)
    }

    /// What follows a link; by the links' shares as long as little is known.
    fn habit(&self, before: usize) -> Weights {
        let shares = normalized(self.delivered);
        let known =
            std::array::from_fn(|after| f64::from(self.follows[before][after]) + shares[after]);
        normalized(known)
    }

    fn losing(&self) -> Weights {
        std::array::from_fn(|slot| {
            let sent = self.delivered[slot] + self.lost[slot] + PRIOR_PACKETS;
            (self.lost[slot] + 1.0) / sent
        })
    }
}

fn only(slot: usize) -> Weights {
    std::array::from_fn(|other| f64::from(u8::from(other == slot)))
}

fn multiplied(a: &Weights, b: &Weights) -> Weights {
    std::array::from_fn(|slot| a[slot] * b[slot])
}

fn add(to: &mut Weights, what: &Weights, factor: f64) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what * factor;
    }
}

/// The same proportions, with the sum 1; all zeros stay.
fn normalized(weights: Weights) -> Weights {
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.map(|weight| weight / sum)
    } else {
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream sent by `link_of`, some of it lost; returns what each link lost by our account.
    fn lost_by(link_of: impl Fn(u32) -> usize, is_lost: impl Fn(u32) -> bool) -> Vec<u32> {
        let (mut arrivals, mut attribution) = (Arrivals::new(), Attribution::new());
        let mut lost = [0.0; LINKS_MAX];
        let mut missing = None;
        for number in 0..5000 {
            let seq = Seq::new(number);
            if is_lost(number) {
                missing.get_or_insert(seq);
                continue;
            }
            arrivals.insert(seq, link_of(number), false);
            attribution.arrived(&arrivals, seq, link_of(number));
            if let Some(first) = missing.take() {
                let range = SeqRange::new(first, seq.previous()).unwrap();
                add(&mut lost, &attribution.lose(&arrivals, range), 1.0);
            }
        }
        lost[..4].iter().map(|share| share.round() as u32).collect()
    }

    #[test]
    fn a_sender_that_takes_turns_gives_its_losers_away() {
        let turns = |number: u32| (number % 3) as usize;
        let lost = lost_by(turns, |number| number % 30 == 16);
        assert!(lost[1] >= 160 && lost[0] + lost[2] <= 6, "{lost:?}");
    }

    #[test]
    fn a_sender_of_runs_gives_its_losers_away() {
        let runs = |number: u32| (number / 8 % 3) as usize;
        let lost = lost_by(runs, |number| number % 48 == 36);
        assert!(lost[1] >= 95 && lost[0] + lost[2] <= 9, "{lost:?}");
    }

    #[test]
    fn a_lost_run_is_shared_out_by_its_places() {
        let turns = |number: u32| (number % 3) as usize;
        let lost = lost_by(turns, |number| (2000..2009).contains(&number));
        assert_eq!(lost, [3, 3, 3, 0]);
    }

    #[test]
    fn every_lost_packet_is_attributed_however_little_is_known() {
        let mut attribution = Attribution::new();
        let mut arrivals = Arrivals::new();
        arrivals.insert(Seq::new(0), 2, false);
        attribution.arrived(&arrivals, Seq::new(0), 2);
        let range = SeqRange::new(Seq::new(1), Seq::new(500)).unwrap();
        let shares = attribution.lose(&arrivals, range);
        assert!((shares[2] - 500.0).abs() < 1e-6, "{shares:?}");
    }
}
