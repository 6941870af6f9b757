//! The sender beside a model that is slow and obviously right: the list of all
//! retransmissions and a token bucket in exact fractions.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use streamhaul_srt::packet::{Ack, AckDetail, DataHeader};
use streamhaul_srt::sender::{Sender, Settings, Statistics};
use streamhaul_srt::{Seq, SeqRange, SocketId, Timestamp};

const FIRST: u64 = (1 << 40) + 17;
const LATENCY: Duration = Duration::from_millis(200);
const OFFSET_US: i64 = -123_456;
const BURST: u128 = 2048;
const REFILL_MIN: u32 = 1000;
const MICRO: u128 = 1_000_000;

#[derive(Debug, Clone)]
enum Step {
    /// The next packets are sent, after `skipped` that never came.
    Send {
        skipped: u8,
        count: u8,
        length: u16,
    },
    /// Packets are sent that come late, or from before the beginning.
    SendLate {
        back: u16,
    },
    /// The receiver reports a range that ends so many packets back, or ahead.
    Report {
        back: i32,
        count: u32,
    },
    /// Packets from so far back are asked for, one after the other.
    Retransmit {
        back: u16,
        count: u16,
        age_us: u32,
        rate: u32,
    },
    /// The receiver claims a round trip.
    Acknowledge {
        number: u32,
        rtt_us: u32,
        variance_us: u32,
        has_detail: bool,
    },
    /// The latency is raised.
    Raise {
        to_ms: u16,
    },
    Wait {
        us: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop_oneof![5 => Just(0u8), 1 => 1..50u8], 1..60u8, 0..1457u16)
            .prop_map(|(skipped, count, length)| Step::Send { skipped, count, length }),
        2 => (0..4000u16).prop_map(|back| Step::SendLate { back }),
        3 => (-300..3000i32, prop_oneof![1..500u32, 1..(1u32 << 29)])
            .prop_map(|(back, count)| Step::Report { back, count }),
        8 => (0..1200u16, prop_oneof![1..20u16, 1..3000u16], 0..200_000u32, prop_oneof![Just(0u32), 1..20_000u32])
            .prop_map(|(back, count, age_us, rate)| Step::Retransmit { back, count, age_us, rate }),
        2 => (any::<u32>(), 0..400_000u32, 0..100_000u32, any::<bool>())
            .prop_map(|(number, rtt_us, variance_us, has_detail)|
                Step::Acknowledge { number, rtt_us, variance_us, has_detail }),
        1 => (0..5000u16).prop_map(|to_ms| Step::Raise { to_ms }),
        6 => prop_oneof![0..3_000u32, 3_000..300_000u32, 300_000..20_000_000u32]
            .prop_map(|us| Step::Wait { us }),
    ]
}

struct Model {
    isn: Seq,
    newest: u64,
    retransmissions: Vec<(u64, Instant)>,
    /// In millionths of a packet.
    tokens: u128,
    refilled_at: Instant,
    guard: Duration,
    latency: Duration,
    statistics: Statistics,
}

impl Model {
    fn seq(&self, index: u64) -> Seq {
        Seq::new(((u64::from(self.isn.value()) + index - FIRST) % (1 << 31)) as u32)
    }

    fn header(&self, index: u64, timestamp: u32, retransmitted: bool) -> DataHeader {
        let message = ((index - FIRST) % 0x03ff_ffff) as u32 + 1;
        let raised_us = (self.latency - LATENCY).as_micros() as i64;
        let timestamp = i64::from(timestamp) + OFFSET_US + raised_us;
        let timestamp = Timestamp(timestamp.rem_euclid(1 << 32) as u32);
        DataHeader {
            retransmitted,
            ..DataHeader::live(self.seq(index), message, timestamp, SocketId(5))
        }
    }

    /// The sent packets whose numbers lie in the range.
    fn meant(&self, range: SeqRange) -> Option<(u64, u64)> {
        let mut meant = (FIRST..=self.newest).filter(|index| range.contains(self.seq(*index)));
        let first = meant.next()?;
        Some((first, meant.next_back().unwrap_or(first)))
    }

    fn allows(&mut self, now: Instant, index: u64, first_sent_at: Instant, rate: u32) -> bool {
        if now < first_sent_at + self.guard {
            return false;
        }
        let mut earlier = self.retransmissions.iter().rev();
        let last = earlier.find(|(other, _)| *other == index);
        if last.is_some_and(|(_, at)| now < *at + self.guard) {
            return false;
        }
        let elapsed_us = (now - self.refilled_at).as_micros();
        let refill = elapsed_us * u128::from(rate.max(REFILL_MIN));
        self.tokens = (self.tokens + refill).min(BURST * MICRO);
        self.refilled_at = now;
        if self.tokens < MICRO {
            return false;
        }
        self.tokens -= MICRO;
        self.retransmissions.push((index, now));
        self.statistics.retransmitted += 1;
        true
    }
}

struct Pair {
    now: Instant,
    timestamp: u32,
    sender: Sender,
    model: Model,
}

impl Pair {
    fn new(isn: u32) -> Self {
        let now = crate::now();
        let settings = Settings {
            destination: SocketId(5),
            isn: Seq::new(isn),
            first_index: FIRST,
            timeline_offset_us: OFFSET_US,
            latency: LATENCY,
            window_packets: 8192,
        };
        let model = Model {
            isn: Seq::new(isn),
            newest: FIRST - 1,
            retransmissions: Vec::new(),
            tokens: BURST * MICRO,
            refilled_at: now,
            guard: Duration::from_millis(20),
            latency: LATENCY,
            statistics: Statistics::default(),
        };
        Self {
            now,
            timestamp: u32::MAX - 5_000_000,
            sender: Sender::new(settings, now),
            model,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Send {
                skipped,
                count,
                length,
            } => {
                self.model.newest += u64::from(skipped);
                for _ in 0..count {
                    self.send(self.model.newest + 1, length);
                }
            }
            Step::SendLate { back } => self.send(self.model.newest - u64::from(back), 100),
            Step::Report { back, count } => self.report(back, count),
            Step::Retransmit {
                back,
                count,
                age_us,
                rate,
            } => {
                let first = self.model.newest.saturating_sub(u64::from(back)).max(FIRST);
                let first_sent_at = self.now - Duration::from_micros(u64::from(age_us));
                for index in first..first + u64::from(count) {
                    let expected = self.model.allows(self.now, index, first_sent_at, rate);
                    let granted = self
                        .sender
                        .may_retransmit(self.now, index, first_sent_at, rate);
                    assert_eq!(granted, expected, "packet {index}");
                }
            }
            Step::Acknowledge {
                number,
                rtt_us,
                variance_us,
                has_detail,
            } => {
                self.acknowledge(number, rtt_us, variance_us, has_detail);
            }
            Step::Raise { to_ms } => {
                let to = Duration::from_millis(u64::from(to_ms));
                self.sender.raise_latency_to(to);
                self.model.latency = self.model.latency.max(to);
            }
            Step::Wait { us } => {
                self.now += Duration::from_micros(u64::from(us));
                self.timestamp = self.timestamp.wrapping_add(us);
            }
        }
        assert_eq!(*self.sender.statistics(), self.model.statistics);
        assert_eq!(self.sender.latency(), self.model.latency);
        self.check_worth();
    }

    fn send(&mut self, index: u64, length: u16) {
        let timestamp = self.timestamp;
        let length = usize::from(length);
        let header =
            self.sender
                .label(index, Timestamp(timestamp), index.is_multiple_of(2), length);
        if index < FIRST {
            assert_eq!(header, None);
            return;
        }
        assert_eq!(
            header,
            Some(self.model.header(index, timestamp, index.is_multiple_of(2)))
        );
        self.model.newest = self.model.newest.max(index);
        self.model.statistics.packets += 1;
        self.model.statistics.bytes += length as u64;
    }

    fn report(&mut self, back: i32, count: u32) {
        let last = self.model.newest.wrapping_add_signed(-i64::from(back));
        let last = self.sender_seq(last);
        let range = SeqRange::new(last.sub(count - 1), last).unwrap();
        self.sender.handle_nak();
        self.model.statistics.naks += 1;
        assert_eq!(self.sender.indexes(range), self.model.meant(range));
    }

    fn sender_seq(&self, index: u64) -> Seq {
        let place = index.wrapping_sub(FIRST) as u32;
        Seq::new(self.model.isn.value().wrapping_add(place))
    }

    fn acknowledge(&mut self, number: u32, rtt_us: u32, rtt_var_us: u32, has_detail: bool) {
        let detail = AckDetail {
            rtt_us,
            rtt_var_us,
            buffer_available: 1,
            rates: None,
        };
        let next = self.sender_seq(self.model.newest);
        let ack = Ack {
            number,
            next,
            detail: has_detail.then_some(detail),
        };
        let confirm = (number != 0 && has_detail).then_some(number);
        assert_eq!(self.sender.handle_ack(&ack), confirm);
        self.model.statistics.acks += 1;
        assert!(self.sender.in_flight() <= 1, "all but the newest");
        if has_detail && (rtt_us, rtt_var_us) != (100_000, 50_000) {
            let claimed = Duration::from_micros(u64::from(rtt_us) + u64::from(rtt_var_us));
            let guard = claimed.max(Duration::from_millis(10));
            if guard > self.model.guard {
                // What was over under the shorter guard may be forgotten.
                self.now += guard;
            }
            self.model.guard = guard;
        }
    }

    fn check_worth(&self) {
        let limit = self.model.latency.max(Duration::from_secs(1)) + Duration::from_millis(20);
        let limit_us = limit.as_micros() as i64;
        assert!(self.sender.is_worth_sending(limit_us));
        assert!(!self.sender.is_worth_sending(limit_us + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_a_model_whatever_the_receiver_says(
        isn in prop_oneof![any::<u32>(), 0x7fff_fc00..=0x7fff_ffffu32],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pair = Pair::new(isn);
        for step in &steps {
            pair.take(step);
        }
    }
}
