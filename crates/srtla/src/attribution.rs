//! Which link most likely lost a packet.
//!
//! The receiver never learns on which link a missing packet was sent. What it has is evidence: the
//! sender's [`Habits`] say how likely each link is at a place in the sequence, and of links that
//! are as likely the one that loses more is the one that lost it. How much each loses follows from
//! the losses of late, all weighed together: the rates that make them most likely (by expectation
//! and maximization). One link that loses is found soon, since every loss may be its.
//!
//! It is an estimate. It is good where links lose at different rates, and fails where the habits
//! say nothing and all lose alike; then it shares the losses out. A sender that sends extended
//! keepalives counts its links' losses itself and says so; that is exact.

use std::time::{Duration, Instant};

use srt::{Seq, SeqRange};

use crate::arrivals::Arrivals;
pub(crate) use crate::habits::LINKS_MAX;
use crate::habits::{Habits, Weights, add, multiplied, normalized};

/// Losses that are weighed together.
const EVIDENCE_MAX: usize = 64;
/// Of a longer run so many places are evidence: the run says little more than that.
const EVIDENCE_PER_RUN_MAX: usize = 4;
/// How often the rates and what each loss is to them are made to fit each other, for each loss.
const ROUNDS: usize = 3;
/// Losses that every link is taken to have had.
const PRIOR_LOSSES: f64 = 0.1;
/// Runs looked at in a second; with sixteen links they take a fiftieth of a core. What is beyond
/// is shared out by the rates alone.
const RUNS_PER_SECOND_MAX: u32 = 500;

/// What is known of a session's losses.
#[derive(Debug, Clone)]
pub(crate) struct Attribution {
    habits: Habits,
    /// How likely each link was at the places lost last, a ring.
    evidence: Vec<Weights>,
    next: usize,
    /// How much each link loses, in proportion.
    rates: Weights,
    second: Option<Instant>,
    runs: u32,
}

impl Attribution {
    pub(crate) fn new() -> Self {
        Self {
            habits: Habits::new(),
            evidence: Vec::with_capacity(EVIDENCE_MAX),
            next: 0,
            rates: [1.0; LINKS_MAX],
            second: None,
            runs: 0,
        }
    }

    /// Notes the first arrival of a packet that was not sent again.
    pub(crate) fn arrived(&mut self, arrivals: &Arrivals, seq: Seq, slot: usize) {
        self.habits.arrived(arrivals, seq, slot);
    }

    /// A link is gone; its slot may be another's soon.
    pub(crate) fn forget(&mut self, slot: usize) {
        self.habits.forget(slot);
        self.evidence.iter_mut().for_each(|place| place[slot] = 0.0);
        self.rates[slot] = 1.0;
    }

    /// Attributes a missing run: how many of its packets each link is likely to have lost.
    pub(crate) fn lose(&mut self, now: Instant, arrivals: &Arrivals, range: SeqRange) -> Weights {
        let count = f64::from(range.count());
        if !self.may_look(now) {
            let likely = normalized(multiplied(&self.habits.shares(), &self.rates));
            return likely.map(|share| share * count);
        }
        let likelihoods = self.habits.likelihoods(arrivals, range);
        let places = &likelihoods.places[..likelihoods.len];
        for place in &places[..places.len().min(EVIDENCE_PER_RUN_MAX)] {
            self.note(*place);
        }
        self.weigh();
        let mut shares = [0.0; LINKS_MAX];
        for place in places {
            add(&mut shares, &normalized(multiplied(place, &self.rates)));
        }
        shares.map(|share| share * count / places.len() as f64)
    }

    fn may_look(&mut self, now: Instant) -> bool {
        let is_same = |since: Instant| now < since + Duration::from_secs(1);
        if !self.second.is_some_and(is_same) {
            (self.second, self.runs) = (Some(now), 0);
        }
        self.runs += 1;
        self.runs <= RUNS_PER_SECOND_MAX
    }

    fn note(&mut self, place: Weights) {
        if self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push(place);
        } else {
            self.evidence[self.next] = place;
        }
        self.next = (self.next + 1) % EVIDENCE_MAX;
    }

    /// Makes the rates fit the evidence better.
    fn weigh(&mut self) {
        let shares = self.habits.shares();
        for _ in 0..ROUNDS {
            let mut lost = [PRIOR_LOSSES; LINKS_MAX];
            for place in &self.evidence {
                add(&mut lost, &normalized(multiplied(place, &self.rates)));
            }
            for ((rate, lost), share) in self.rates.iter_mut().zip(lost).zip(shares) {
                *rate = if share > 0.0 { lost / share } else { 1.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ms, start};

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
                let now = start() + ms(number.into());
                add(&mut lost, &attribution.lose(now, &arrivals, range));
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
        let shares = attribution.lose(start(), &arrivals, range);
        assert!((shares[2] - 500.0).abs() < 1e-6, "{shares:?}");
    }

    #[test]
    fn of_links_that_are_as_likely_the_one_that_keeps_losing_is_found() {
        // Links 1 and 2 in no order, by a fixed but patternless rule; only 2 loses.
        let mix = |number: u32| 1 + (number.wrapping_mul(2_654_435_761) >> 17 & 1) as usize;
        let turns = move |number: u32| {
            if number.is_multiple_of(2) {
                0
            } else {
                mix(number)
            }
        };
        let lost = lost_by(turns, |number| {
            turns(number) == 2 && number.is_multiple_of(7)
        });
        let all: u32 = lost.iter().sum();
        assert!(lost[0] == 0 && lost[2] * 10 > all * 4, "{lost:?}");
    }

    #[test]
    fn too_many_runs_are_shared_out_without_a_look() {
        let mut attribution = Attribution::new();
        let mut arrivals = Arrivals::new();
        for number in 0..100 {
            let seq = Seq::new(number);
            arrivals.insert(seq, (number % 2) as usize, false);
            attribution.arrived(&arrivals, seq, (number % 2) as usize);
        }
        let range = SeqRange::new(Seq::new(101), Seq::new(102)).unwrap();
        for _ in 0..2 * RUNS_PER_SECOND_MAX {
            let shares = attribution.lose(start(), &arrivals, range);
            assert!((shares.iter().sum::<f64>() - 2.0).abs() < 1e-6);
        }
        assert_eq!(attribution.evidence.len(), EVIDENCE_MAX);
    }
}
