//! A sender's habits: which link follows which, and what that says of packets that did not come.
//!
//! Senders do not mix links at random. Some take turns; those that fill windows send a run on a
//! link whenever an acknowledgement empties its window, and go round between. Two packets before a
//! place mostly say which link is next, so habits are counted after every pair of links (a Markov
//! chain of the second order). Where a pair is rare, the habit after its second link stands in, and
//! the links' shares where that is rare, too.

use srt::{Seq, SeqRange};

use crate::arrivals::Arrivals;

/// The most links that are told apart: those of one group.
pub(crate) const LINKS_MAX: usize = 16;
/// Longer runs are taken to be as their first packets are.
pub(crate) const RUN_MAX: usize = 16;
/// Old habits count half once a link, or a pair, was followed so often.
const HABIT_MAX: u16 = 1024;
/// Old shares count half once so many packets have come.
const DELIVERED_MAX: f64 = 8192.0;
/// How many packets after a pair weigh as much as all after its second link.
const PAIR_PRIOR: f64 = 2.0;

/// Something for each link.
pub(crate) type Weights = [f64; LINKS_MAX];
/// Something for each pair of links that follow each other.
type Pairs = [Weights; LINKS_MAX];
type Counts = [[u16; LINKS_MAX]; LINKS_MAX];

/// How likely each link is at each place of a missing run.
pub(crate) struct Likelihoods {
    pub(crate) places: [Weights; RUN_MAX],
    pub(crate) len: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// How often a packet on one link was followed by one on another.
    after_one: Counts,
    /// The same after two.
    after_two: Box<[Counts; LINKS_MAX]>,
    delivered: Weights,
}

impl Habits {
    pub(crate) fn new() -> Self {
        Self {
            after_one: [[0; LINKS_MAX]; LINKS_MAX],
            after_two: Box::new([[[0; LINKS_MAX]; LINKS_MAX]; LINKS_MAX]),
            delivered: [0.0; LINKS_MAX],
        }
    }

    /// Notes the first arrival of a packet that was not sent again.
    pub(crate) fn arrived(&mut self, arrivals: &Arrivals, seq: Seq, slot: usize) {
        self.delivered[slot] += 1.0;
        if self.delivered.iter().sum::<f64>() > DELIVERED_MAX {
            self.delivered = self.delivered.map(|packets| packets / 2.0);
        }
        // It may be the last, the middle or the first of three that are all here.
        let at = |ahead: u32, behind: u32| arrivals.slot(seq.add(ahead).sub(behind));
        let (before, after) = (at(0, 1), at(1, 0));
        if let Some(before) = before {
            self.follow(at(0, 2), before, slot);
        }
        if let Some(after) = after {
            self.follow(before, slot, after);
            if let Some(next) = at(2, 0) {
                self.follow_pair(slot, after, next);
            }
        }
    }

    fn follow(&mut self, first: Option<usize>, second: usize, next: usize) {
        count(&mut self.after_one[second], next);
        if let Some(first) = first {
            self.follow_pair(first, second, next);
        }
    }

    fn follow_pair(&mut self, first: usize, second: usize, next: usize) {
        count(&mut self.after_two[first][second], next);
    }

    /// A link is gone; its slot may be another's soon.
    pub(crate) fn forget(&mut self, slot: usize) {
        for counts in self.after_two.iter_mut().chain([&mut self.after_one]) {
            counts[slot] = [0; LINKS_MAX];
            counts.iter_mut().for_each(|row| row[slot] = 0);
        }
        self.after_two[slot] = [[0; LINKS_MAX]; LINKS_MAX];
        self.delivered[slot] = 0.0;
    }

    /// Each link's share of what came lately.
    pub(crate) fn shares(&self) -> Weights {
        normalized(self.delivered)
    }

    /// What is likely at each place of a missing run, by what came before and behind it: the
    /// forward and backward steps of the chain.
    pub(crate) fn likelihoods(&self, arrivals: &Arrivals, range: SeqRange) -> Likelihoods {
        let len = (range.count() as usize).min(RUN_MAX);
        let mut behind = [[[0.0; LINKS_MAX]; LINKS_MAX]; RUN_MAX];
        let mut later = self.end(arrivals, range.last());
        for place in behind[..len].iter_mut().rev() {
            *place = later;
            later = self.step_back(&later);
        }
        let mut pairs = self.begin(arrivals, range.first());
        let mut places = [[0.0; LINKS_MAX]; RUN_MAX];
        for (place, later) in places.iter_mut().zip(&behind[..len]) {
            pairs = self.step(&pairs);
            *place = likely(&pairs, later);
        }
        Likelihoods { places, len }
    }

    /// The two packets before a run; where one of them is not known, any link by its share.
    fn begin(&self, arrivals: &Arrivals, first: Seq) -> Pairs {
        let only = |known: Option<usize>| match known {
            Some(slot) => std::array::from_fn(|other| f64::from(u8::from(other == slot))),
            None => self.shares(),
        };
        let earlier: Weights = only(arrivals.slot(first.sub(2)));
        let before = only(arrivals.slot(first.sub(1)));
        earlier.map(|weight| before.map(|other| weight * other))
    }

    /// How likely what follows a run is after each pair at its end.
    fn end(&self, arrivals: &Arrivals, last: Seq) -> Pairs {
        let (next, after_next) = (arrivals.slot(last.add(1)), arrivals.slot(last.add(2)));
        let mut pairs = [[1.0; LINKS_MAX]; LINKS_MAX];
        let Some(next) = next else {
            return pairs;
        };
        for (first, second) in self.pairs() {
            let after = |first, second, link: usize| self.after(first, second)[link];
            let then = after_next.map_or(1.0, |link| after(second, next, link));
            pairs[first][second] = after(first, second, next) * then;
        }
        pairs
    }

    fn step(&self, from: &Pairs) -> Pairs {
        let mut to = [[0.0; LINKS_MAX]; LINKS_MAX];
        for (first, second) in self.pairs() {
            let weight = from[first][second];
            if weight > 0.0 {
                let after = self.after(first, second).map(|chance| chance * weight);
                add(&mut to[second], &after);
            }
        }
        to
    }

    fn step_back(&self, to: &Pairs) -> Pairs {
        let mut from = [[0.0; LINKS_MAX]; LINKS_MAX];
        for (first, second) in self.pairs() {
            let after = self.after(first, second);
            let likely = after.iter().zip(&to[second]).map(|(a, b)| a * b);
            from[first][second] = likely.sum();
        }
        from
    }

    /// What follows a pair.
    fn after(&self, first: usize, second: usize) -> Weights {
        let after_second = chances(&self.after_one[second], &self.shares(), 1.0);
        chances(&self.after_two[first][second], &after_second, PAIR_PRIOR)
    }

    /// Every pair of links that bring something.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let links = || (0..LINKS_MAX).filter(|slot| self.delivered[*slot] > 0.0);
        links().flat_map(move |first| links().map(move |second| (first, second)))
    }
}

fn count(row: &mut [u16; LINKS_MAX], next: usize) {
    row[next] += 1;
    if row[next] >= HABIT_MAX {
        row.iter_mut().for_each(|count| *count /= 2);
    }
}

/// Counts as chances; as long as they are few, mostly those of `prior`.
fn chances(counts: &[u16; LINKS_MAX], prior: &Weights, prior_packets: f64) -> Weights {
    let all: f64 = counts.iter().copied().map(f64::from).sum();
    std::array::from_fn(|link| {
        (f64::from(counts[link]) + prior[link] * prior_packets) / (all + prior_packets)
    })
}

/// The links at a place, from those at it and before it, and what comes behind.
fn likely(pairs: &Pairs, later: &Pairs) -> Weights {
    let mut place = [0.0; LINKS_MAX];
    for (pairs, later) in pairs.iter().zip(later) {
        add(&mut place, &multiplied(pairs, later));
    }
    normalized(place)
}

pub(crate) fn multiplied(a: &Weights, b: &Weights) -> Weights {
    std::array::from_fn(|slot| a[slot] * b[slot])
}

pub(crate) fn add(to: &mut Weights, what: &Weights) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}

/// The same proportions, with the sum 1; all zeros stay.
pub(crate) fn normalized(weights: Weights) -> Weights {
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.map(|weight| weight / sum)
    } else {
        weights
    }
}
