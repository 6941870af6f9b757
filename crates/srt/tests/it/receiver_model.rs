//! The receiver beside a model that is slow and obviously right: a set of the
//! packets that arrived, a map of those that are missing, and exact deadlines.
//!
//! The driver does what an owner does: it calls `handle_timeout` whenever
//! `poll_timeout` asks for it, and takes every report after every change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use streamhaul_srt::packet::Ack;
use streamhaul_srt::receiver::{Arrival, Receiver, Report, Settings, Statistics};
use streamhaul_srt::{Seq, SeqRange};

const WINDOW: u64 = 8192;
const FAR: u64 = 1 << 20;
const NAK_RANGES_MAX: usize = 180;
const ACK_INTERVAL: Duration = Duration::from_millis(10);
const ACK_LATEST: Duration = Duration::from_millis(15);
const ACKS_REMEMBERED: u32 = 256;
/// Waiting this long without a word from the peer wakes the receiver so often.
const WAKES_PER_SECOND_MAX: u64 = 300;

/// What happens next on the path from the sender.
#[derive(Debug, Clone)]
enum Step {
    /// `lost` packets are lost, then one arrives.
    Next { lost: u16, latency_ms: u16 },
    /// Every second packet of a run is lost: more gaps than one report holds.
    Scatter { arrivals: u16 },
    /// One of the missing arrives after all.
    Late { pick: u16, latency_ms: u16 },
    /// One that came before comes again.
    Again { pick: u16 },
    /// One from so far back that it is missing, known or before all time.
    Behind { by: u32 },
    /// The sender jumps so far ahead.
    Jump { by: u32 },
    /// The sender gives up a range around one of the missing.
    GiveUp { pick: u16, before: u8, count: u16 },
    /// The sender answers the acknowledgement so many before the newest.
    Answer { before: u16 },
    /// Nothing comes for so long.
    Wait { us: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let lost = prop_oneof![
        20 => Just(0u16),
        6 => 1..4u16,
        2 => 4..60u16,
        1 => 60..5000u16,
    ];
    let latency_ms = prop_oneof![Just(0u16), 1..40u16, 40..900u16];
    prop_oneof![
        20 => (lost, latency_ms.clone()).prop_map(|(lost, latency_ms)| Step::Next { lost, latency_ms }),
        1 => (1..400u16).prop_map(|arrivals| Step::Scatter { arrivals }),
        8 => (any::<u16>(), latency_ms).prop_map(|(pick, latency_ms)| Step::Late { pick, latency_ms }),
        3 => any::<u16>().prop_map(|pick| Step::Again { pick }),
        1 => (0..(1u32 << 21)).prop_map(|by| Step::Behind { by }),
        1 => prop_oneof![8000..9000u32, 1..(1u32 << 21)].prop_map(|by| Step::Jump { by }),
        2 => (any::<u16>(), 0..9u8, 1..400u16)
            .prop_map(|(pick, before, count)| Step::GiveUp { pick, before, count }),
        6 => (0..300u16).prop_map(|before| Step::Answer { before }),
        12 => prop_oneof![10 => 0..4_000u32, 3 => 4_000..60_000u32, 1 => 60_000..3_000_000u32]
            .prop_map(|us| Step::Wait { us }),
    ]
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    /// When the packet before it is due, or one before that.
    due_from: Instant,
    deadline: Instant,
    reported_at: Instant,
}

/// What must be true, packet by packet.
struct Model {
    gaps_max: usize,
    highest: u64,
    highest_due: Option<Instant>,
    arrived: BTreeSet<u64>,
    missing: BTreeMap<u64, Missing>,
    statistics: Statistics,
    /// The numbers and times of all full acknowledgements, and whether each
    /// was answered.
    acks: BTreeMap<u32, (Instant, bool)>,
    acked: Option<(u64, Instant)>,
    repeat_at: Option<Instant>,
}

impl Model {
    fn new(isn: u32, gaps_max: usize) -> Self {
        Self {
            gaps_max,
            highest: (1 << 31) + u64::from(isn) - 1,
            highest_due: None,
            arrived: BTreeSet::new(),
            missing: BTreeMap::new(),
            statistics: Statistics::default(),
            acks: BTreeMap::new(),
            acked: None,
            repeat_at: None,
        }
    }

    /// The first packet that has neither arrived nor been given up.
    fn ack_point(&self) -> u64 {
        self.missing
            .first_key_value()
            .map_or(self.highest + 1, |(index, _)| *index)
    }

    fn runs(&self) -> Vec<(u64, u64)> {
        runs(self.missing.keys().copied())
    }

    fn arrive(&mut self, now: Instant, index: u64, deadline: Instant, nak: Duration) -> Arrival {
        let arrival = self.place(now, index, deadline, nak);
        match arrival {
            Arrival::Duplicate => self.statistics.duplicate += 1,
            Arrival::OutOfWindow => {}
            _ => {
                assert!(self.arrived.insert(index), "{index} is forwarded twice");
                self.statistics.packets += 1;
            }
        }
        arrival
    }

    fn place(&mut self, now: Instant, index: u64, deadline: Instant, nak: Duration) -> Arrival {
        if index.abs_diff(self.highest) > FAR {
            return Arrival::OutOfWindow;
        }
        if index <= self.highest {
            return self.place_behind(index, deadline);
        }
        if index - self.ack_point() > WINDOW {
            self.statistics.lost += index - self.highest - 1;
            self.statistics.dropped += index - self.highest - 1;
            self.give_up(|_, _| true);
            self.repeat_at = None;
            (self.highest, self.highest_due) = (index, Some(deadline));
            return Arrival::Resync { index };
        }
        if index > self.highest + 1 {
            let reported_at = now;
            let missing = Missing {
                due_from: self.highest_due.unwrap_or(deadline),
                deadline,
                reported_at,
            };
            self.missing
                .extend((self.highest + 1..index).map(|index| (index, missing)));
            self.statistics.lost += index - self.highest - 1;
            self.repeat_at.get_or_insert(now + nak);
            self.forget_oldest_gap_when_full();
        }
        (self.highest, self.highest_due) = (index, Some(deadline));
        Arrival::New { index }
    }

    fn place_behind(&mut self, index: u64, deadline: Instant) -> Arrival {
        if self.missing.remove(&index).is_none() {
            return Arrival::Duplicate;
        }
        // What is missing right before it is due no later than it.
        let mut before = index - 1;
        while let Some(missing) = self.missing.get_mut(&before) {
            missing.deadline = missing.deadline.min(deadline);
            before -= 1;
        }
        let mut behind = index + 1;
        while let Some(missing) = self.missing.get_mut(&behind) {
            missing.due_from = missing.deadline.min(deadline);
            behind += 1;
        }
        self.statistics.recovered += 1;
        self.forget_oldest_gap_when_full();
        Arrival::Recovered { index }
    }

    fn forget_oldest_gap_when_full(&mut self) {
        let runs = self.runs();
        if runs.len() > self.gaps_max {
            let (first, last) = runs[0];
            self.give_up(|index, _| (first..=last).contains(&index));
        }
    }

    fn give_up(&mut self, is_meant: impl Fn(u64, &Missing) -> bool) {
        let before = self.missing.len();
        self.missing
            .retain(|index, missing| !is_meant(*index, missing));
        self.statistics.dropped += (before - self.missing.len()) as u64;
    }

    fn drop_request(&mut self, first: u64, last: u64) {
        self.give_up(|index, _| (first..=last).contains(&index));
        self.forget_oldest_gap_when_full();
    }

    /// Gives up what is due, oldest first, and says what is to be reported.
    fn timeout(&mut self, now: Instant, nak: Duration) -> Vec<(u64, u64)> {
        while let Some((index, missing)) = self.missing.first_key_value()
            && missing.deadline <= now
        {
            let index = *index;
            self.give_up(|other, _| other == index);
        }
        if self.missing.is_empty() {
            self.repeat_at = None;
        }
        if self.repeat_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.repeat_at = Some(now + nak);
        let due = |missing: &Missing| missing.reported_at + nak <= now;
        let mut reported = Vec::new();
        for (index, missing) in self.missing.iter_mut().filter(|(_, missing)| due(missing)) {
            missing.reported_at = now;
            reported.push(*index);
        }
        runs(reported)
    }

    /// The round trip that an answer measures.
    fn answer(&mut self, now: Instant, number: u32) -> Option<Duration> {
        let newest = self.acks.last_key_value().map_or(0, |(number, _)| *number);
        let (sent_at, is_answered) = self.acks.get_mut(&number)?;
        let is_known = !*is_answered && newest - number < ACKS_REMEMBERED;
        *is_answered = true;
        is_known.then(|| now - *sent_at)
    }
}

fn runs(indexes: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    runs
}

/// The receiver and its model, in one time.
struct Pair {
    now: Instant,
    receiver: Receiver,
    model: Model,
    wakes: u64,
}

impl Pair {
    fn new(isn: u32, gaps_max: usize) -> Self {
        let now = crate::now();
        let settings = Settings {
            isn: Seq::new(isn),
            window_packets: WINDOW as u32,
            gaps_max,
        };
        Self {
            now,
            receiver: Receiver::new(settings, now),
            model: Model::new(isn, gaps_max),
            wakes: 0,
        }
    }

    fn nak_interval(&self) -> Duration {
        (self.receiver.rtt().patience() / 2).max(Duration::from_millis(20))
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Next { lost, latency_ms } => {
                self.arrive(self.model.highest + 1 + u64::from(lost), latency_ms);
            }
            Step::Scatter { arrivals } => {
                for _ in 0..arrivals {
                    self.arrive(self.model.highest + 2, 700);
                }
            }
            Step::Late { pick, latency_ms } => {
                if let Some(index) = picked(self.model.missing.keys(), pick) {
                    self.arrive(index, latency_ms);
                }
            }
            Step::Again { pick } => {
                if let Some(index) = picked(self.model.arrived.iter(), pick) {
                    self.arrive(index, 100);
                }
            }
            Step::Behind { by } => self.arrive(self.model.highest - u64::from(by), 100),
            Step::Jump { by } => self.arrive(self.model.highest + u64::from(by), 100),
            Step::GiveUp {
                pick,
                before,
                count,
            } => self.give_up(pick, before, count),
            Step::Answer { before } => self.answer(before),
            Step::Wait { us } => self.wait(Duration::from_micros(u64::from(us))),
        }
        self.check();
    }

    fn arrive(&mut self, index: u64, latency_ms: u16) {
        let deadline = self.now + Duration::from_millis(u64::from(latency_ms));
        let nak = self.nak_interval();
        let highest = self.model.highest;
        let expected = self.model.arrive(self.now, index, deadline, nak);
        let length = index as usize % 1400;
        let retransmitted = index.is_multiple_of(3);
        let arrival = self.receiver.handle_data(
            self.now,
            Seq::new(index as u32),
            length,
            retransmitted,
            deadline,
        );
        assert_eq!(arrival, expected);
        if !matches!(arrival, Arrival::Duplicate | Arrival::OutOfWindow) {
            self.model.statistics.bytes += length as u64;
            self.model.statistics.retransmitted += u64::from(retransmitted);
        }
        let is_gap = matches!(arrival, Arrival::New { .. }) && index > highest + 1;
        let gap = is_gap.then(|| (highest + 1, index - 1));
        self.reports(gap.into_iter().collect());
    }

    fn give_up(&mut self, pick: u16, before: u8, count: u16) {
        let Some(index) = picked(self.model.missing.keys(), pick) else {
            return;
        };
        let first = index - u64::from(before);
        let last = first + u64::from(count) - 1;
        self.model.drop_request(first, last);
        let range = SeqRange::new(Seq::new(first as u32), Seq::new(last as u32)).unwrap();
        self.receiver.handle_drop_request(range);
        self.reports(Vec::new());
    }

    fn answer(&mut self, before: u16) {
        let newest = self
            .model
            .acks
            .last_key_value()
            .map_or(0, |(number, _)| *number);
        let number = newest.wrapping_sub(u32::from(before));
        let expected = self.model.answer(self.now, number);
        assert_eq!(self.receiver.handle_ackack(self.now, number), expected);
        self.reports(Vec::new());
    }

    /// Lets time pass as an owner does: no timer is missed.
    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.receiver.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.wakes += 1;
            self.timeout();
        }
        self.now = end;
        self.timeout();
    }

    fn timeout(&mut self) {
        let nak = self.nak_interval();
        let due = self.model.timeout(self.now, nak);
        self.receiver.handle_timeout(self.now);
        self.reports(due);
        let next = self.receiver.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "a timer spins");
    }

    /// Takes every report; the losses in them must be exactly `losses`, but for what comes too late.
    fn reports(&mut self, losses: Vec<(u64, u64)>) {
        let mut reported = Vec::new();
        while let Some(report) = self.receiver.poll_report(self.now) {
            match report {
                Report::Nak(ranges) => {
                    assert!((1..=NAK_RANGES_MAX).contains(&ranges.len()));
                    self.model.statistics.naks += 1;
                    reported.extend_from_slice(ranges);
                }
                Report::Ack(ack) => self.model.acknowledge(self.now, &ack),
            }
        }
        let mut reported = reported.into_iter().peekable();
        for (first, last) in losses {
            let (all, end) = (range(first, last), Seq::new(last as u32));
            let rest = reported.next_if(|said| said.last() == end);
            let is_late = self
                .model
                .missing
                .get(&first)
                .is_none_or(|missing| missing.due_from.min(missing.deadline) <= self.now);
            assert!(rest == Some(all) || is_late, "{rest:?} of {all:?}");
            assert!(rest.is_none_or(|rest| all.contains(rest.first())));
        }
        assert_eq!(reported.next(), None);
    }

    fn check(&self) {
        let (receiver, model) = (&self.receiver, &self.model);
        assert_eq!(*receiver.statistics(), model.statistics);
        assert_eq!(receiver.highest(), model.highest);
        let open = model.missing.len() as u64;
        let Statistics {
            lost,
            recovered,
            dropped,
            ..
        } = model.statistics;
        assert_eq!(lost, recovered + dropped + open);
        assert!(model.runs().len() <= model.gaps_max);
        for (first, last) in model.runs() {
            assert!(receiver.is_missing(first) && receiver.is_missing(last));
            assert!(!receiver.is_missing(first - 1) && !receiver.is_missing(last + 1));
        }
        if let Some((_, at)) = model.acked.filter(|(point, _)| *point != model.ack_point()) {
            let latest = (at + ACK_LATEST).max(self.now);
            let wake_at = receiver.poll_timeout();
            assert!(
                wake_at.is_some_and(|at| at <= latest),
                "news is not told in time"
            );
        }
        assert_eq!(model.acked.is_some(), model.statistics.packets > 0);
    }
}

impl Model {
    fn acknowledge(&mut self, now: Instant, ack: &Ack) {
        assert_eq!(ack.next, Seq::new(self.ack_point() as u32));
        if ack.number == 0 {
            assert_eq!(ack.detail, None);
            return;
        }
        let newest = self.acks.last_key_value().map_or(0, |(number, _)| *number);
        assert_eq!(ack.number, newest + 1);
        let detail = ack.detail.expect("a numbered acknowledgement is full");
        assert_eq!(u64::from(detail.buffer_available), WINDOW);
        if let Some((_, at)) = self.acked {
            assert!(
                now >= at + ACK_INTERVAL,
                "two acknowledgements within 10 ms"
            );
        }
        self.acks.insert(ack.number, (now, false));
        self.acked = Some((self.ack_point(), now));
    }
}

fn picked<'a>(mut from: impl ExactSizeIterator<Item = &'a u64>, pick: u16) -> Option<u64> {
    let length = from.len();
    // Mostly near the newest end, where the interesting ones are.
    let back = usize::from(pick) % length.max(1);
    let back = if pick.is_multiple_of(4) {
        back
    } else {
        back % 30
    };
    from.nth((length.max(1) - 1).saturating_sub(back)).copied()
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange::new(Seq::new(first as u32), Seq::new(last as u32)).unwrap()
}

fn isn() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>().prop_map(|isn| isn >> 1),
        0x7fff_e000..=0x7fff_ffffu32,
        0..40u32
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_a_model_whatever_the_path_does(
        isn in isn(),
        gaps_max in prop_oneof![Just(1usize), 2..9usize, Just(1024)],
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut pair = Pair::new(isn, gaps_max);
        for step in &steps {
            pair.take(step);
        }
    }

    #[test]
    fn a_silent_peer_leaves_it_asleep(
        isn in isn(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut pair = Pair::new(isn, 1024);
        for step in &steps {
            pair.take(step);
        }
        // Whatever is missing is given up; then only the last acknowledgement,
        // which nobody answers, is repeated.
        pair.wait(Duration::from_secs(2));
        prop_assert!(pair.model.missing.is_empty());
        let before = pair.wakes;
        pair.wait(Duration::from_secs(2));
        prop_assert!(pair.wakes - before <= 2 * WAKES_PER_SECOND_MAX);
        let newest = pair.model.acks.last_key_value().map(|(number, _)| *number);
        if newest.is_some() {
            pair.answer(0);
            prop_assert_eq!(pair.receiver.poll_timeout(), None);
        }
    }
}
