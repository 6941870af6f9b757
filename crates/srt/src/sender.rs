//! The sending end of a connection that forwards somebody else's packets: a
//! constant map of sequence numbers and timestamps, and the answers to what the
//! receiver reports.
//!
//! A [`Sender`] keeps no packets: many share one ring, which their owner keeps.
//! It says how a packet is labelled for this receiver, which packets a loss
//! report means, and whether one may be sent again now. Packets are named by
//! their *index*, the owner's own count in 64 bits; times by the owner's
//! timeline.

use std::time::{Duration, Instant};

use crate::id::{SocketId, Timestamp};
use crate::packet::{Ack, AckRates, ControlHeader, DataHeader};
use crate::ranges::Counted;
use crate::receiver::seq_of;
use crate::resent::Resent;
use crate::rtt::Rtt;
use crate::seq::{Seq, SeqRange};

/// No packet is sent again sooner, whatever round trip the receiver claims.
const GUARD_MIN: Duration = Duration::from_millis(10);
/// The guard until a round trip is known.
const GUARD_UNKNOWN: Duration = Duration::from_millis(20);
/// What libsrt reports before it has measured anything.
const RTT_UNMEASURED_US: (u32, u32) = (100_000, 50_000);
/// Packets are sent again for at least so long, as libsrt does: a late packet
/// still plays when nothing behind it is due.
const RETRY_MIN: Duration = Duration::from_millis(1000);
const RETRY_SLACK: Duration = Duration::from_millis(20);
/// Even a receiver that claims no window takes a jump of so many packets.
const JUMP_MIN: u64 = 64;
const MESSAGES: u64 = 0x03ff_ffff;
/// Retransmissions a receiver may ask for at once.
const BURST_MAX: u32 = 2048;
/// Retransmissions a second that are always allowed.
const REFILL_MIN: u32 = 1000;

/// What a sender is made with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The receiver's socket.
    pub destination: SocketId,
    /// The first sequence number, from the handshake.
    pub isn: Seq,
    /// The packet that gets it; older ones are not this receiver's.
    pub first_index: u64,
    /// What is added to the owner's timeline to make this receiver's.
    pub timeline_offset_us: i64,
    /// The latency that the receiver adopted.
    pub latency: Duration,
    /// How many unacknowledged packets the receiver takes, from its handshake.
    pub window_packets: u32,
}

/// Counts since the connection began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Data packets sent, retransmissions included.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Packets asked for that will never be sent, each once.
    pub dropped: u64,
    /// Loss reports received.
    pub naks: u64,
    /// Full and light acknowledgements received.
    pub acks: u64,
    /// Jumps so long that the receiver got new sequence numbers for them.
    pub restarts: u64,
}

/// The sending end of a connection.
#[derive(Debug)]
pub struct Sender {
    settings: Settings,
    next_index: u64,
    /// The first packet that the receiver has not acknowledged.
    acked_index: u64,
    /// How many packets it takes from there on.
    window_packets: u32,
    raise_us: i64,
    rtt: Rtt,
    rates: AckRates,
    resent: Resent,
    given_up: Counted,
    budget: Budget,
    statistics: Statistics,
}

impl Sender {
    /// Begins with `settings.first_index`, which is still to come.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            next_index: settings.first_index,
            acked_index: settings.first_index,
            window_packets: settings.window_packets,
            raise_us: 0,
            rtt: Rtt::default(),
            rates: AckRates::default(),
            resent: Resent::new(now),
            given_up: Counted::default(),
            budget: Budget::full(now),
            statistics: Statistics::default(),
        }
    }

    /// Goes on where another sender of the same connection was: `next_index` is the next packet to
    /// send. What that one measured and sent is forgotten.
    #[must_use]
    pub fn resume(settings: Settings, next_index: u64, now: Instant) -> Self {
        let next_index = next_index.max(settings.first_index);
        Self {
            next_index,
            acked_index: next_index,
            ..Self::new(settings, now)
        }
    }

    /// What [`resume`](Self::resume) needs, with the place in the sequence that is in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The header of a packet to send now; `None` for a packet from before this
    /// receiver joined. `timestamp` is on the owner's timeline.
    pub fn label(
        &mut self,
        index: u64,
        timestamp: Timestamp,
        retransmitted: bool,
        payload_length: usize,
    ) -> Option<DataHeader> {
        if index.saturating_sub(self.next_index) >= self.jump_max() {
            self.restart_at(index);
        }
        let place = index.checked_sub(self.settings.first_index)?;
        self.next_index = self.next_index.max(index + 1);
        self.statistics.packets += 1;
        self.statistics.bytes += payload_length as u64;
        let message = (place % MESSAGES) as u32 + 1;
        let timestamp = timestamp.shifted_us(self.settings.timeline_offset_us + self.raise_us);
        let destination = self.settings.destination;
        let header = DataHeader::live(self.seq(index), message, timestamp, destination);
        Some(DataHeader {
            retransmitted,
            ..header
        })
    }

    /// A receiver whose buffer is empty breaks the connection when the sequence
    /// jumps by what the buffer holds (libsrt 1.5.1, core.cpp:10100).
    fn jump_max(&self) -> u64 {
        (u64::from(self.settings.window_packets) / 2).max(JUMP_MIN)
    }

    /// Goes on at `index` with the next sequence number: everything before is
    /// not this receiver's any more.
    fn restart_at(&mut self, index: u64) {
        self.settings.isn = self.seq(self.next_index);
        self.settings.first_index = index;
        self.acked_index = index;
        self.statistics.restarts += 1;
    }

    /// The header of a control packet sent at `now` on the owner's timeline.
    #[must_use]
    pub fn control_header(&self, now: Timestamp) -> ControlHeader {
        ControlHeader {
            timestamp: now.shifted_us(self.settings.timeline_offset_us),
            destination: self.settings.destination,
        }
    }

    /// Takes an acknowledgement; returns the number to confirm, if it has one.
    pub fn handle_ack(&mut self, ack: &Ack) -> Option<u32> {
        self.statistics.acks += 1;
        self.acked(ack.next);
        if let Some(detail) = ack.detail {
            self.window_packets = detail.buffer_available;
            self.rates = detail.rates.unwrap_or(self.rates);
            let claimed = (detail.rtt_us, detail.rtt_var_us);
            if claimed != RTT_UNMEASURED_US {
                self.rtt.adopt(claimed.0, claimed.1);
            }
        }
        (ack.number != 0 && ack.detail.is_some()).then_some(ack.number)
    }

    /// The place moves forward only, and never beyond what was sent.
    fn acked(&mut self, next: Seq) {
        let ahead = next.offset(self.seq(self.acked_index));
        let index = self
            .acked_index
            .saturating_add_signed(i64::from(ahead.max(0)));
        if index <= self.next_index {
            self.acked_index = index;
        }
    }

    /// Packets sent that the receiver has not acknowledged.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.next_index - self.acked_index
    }

    /// How many more packets the receiver takes now: its free buffer, as it
    /// said last, less what is on the way.
    #[must_use]
    pub fn room(&self) -> u64 {
        u64::from(self.window_packets).saturating_sub(self.in_flight())
    }

    /// How many packets the receiver takes beyond what it acknowledged.
    #[must_use]
    pub const fn window_packets(&self) -> u32 {
        self.window_packets
    }

    /// What the receiver says that it gets.
    #[must_use]
    pub const fn receiver_rates(&self) -> &AckRates {
        &self.rates
    }

    /// Counts a loss report.
    pub fn handle_nak(&mut self) {
        self.statistics.naks += 1;
    }

    /// The packets that a reported range means: first and last, sent ones only.
    #[must_use]
    pub fn indexes(&self, range: SeqRange) -> Option<(u64, u64)> {
        let newest = self.next_index.checked_sub(1)?;
        let place = |seq: Seq| newest.checked_add_signed(i64::from(seq.offset(self.seq(newest))));
        let first = place(range.first())?.max(self.settings.first_index);
        let last = place(range.last())?.min(newest);
        (first <= last).then_some((first, last))
    }

    /// The reported range of packets `first` to `last`.
    #[must_use]
    pub fn range(&self, first: u64, last: u64) -> Option<SeqRange> {
        SeqRange::new(self.seq(first), self.seq(last))
    }

    /// Whether a packet of this age is still worth sending again.
    #[must_use]
    pub fn is_worth_sending(&self, age_us: i64) -> bool {
        let latency = self.settings.latency + Duration::from_micros(self.raise_us.unsigned_abs());
        let limit = latency.max(RETRY_MIN) + RETRY_SLACK;
        age_us <= i64::try_from(limit.as_micros()).unwrap_or(i64::MAX)
    }

    /// Whether a packet may be sent again now: it must have had the time to
    /// arrive since it was last sent, and the receiver must not have asked for
    /// more than its share (`packets_per_second` of the stream).
    pub fn may_retransmit(
        &mut self,
        now: Instant,
        index: u64,
        first_sent_at: Instant,
        packets_per_second: u32,
    ) -> bool {
        let guard = self.guard();
        if now.saturating_duration_since(first_sent_at) < guard {
            return false;
        }
        if !self.resent.allows(now, index, guard) || !self.budget.take(now, packets_per_second) {
            return false;
        }
        self.resent.note(now, index);
        self.statistics.retransmitted += 1;
        true
    }

    fn guard(&self) -> Duration {
        if self.rtt.is_measured() {
            (self.rtt.smoothed() + self.rtt.variance()).max(GUARD_MIN)
        } else {
            GUARD_UNKNOWN
        }
    }

    /// Counts packets that will never be sent, however often they are asked for.
    pub fn count_dropped(&mut self, first: u64, last: u64) {
        self.statistics.dropped += self.given_up.add(first, last);
    }

    /// Raises the latency from here on: data is played so much later than the
    /// receiver agreed to. It is never lowered again.
    pub fn raise_latency_to(&mut self, latency: Duration) {
        let more = latency.saturating_sub(self.settings.latency);
        let more_us = i64::try_from(more.as_micros()).unwrap_or(i64::MAX);
        self.raise_us = self.raise_us.max(more_us);
    }

    /// The latency in force.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.settings.latency + Duration::from_micros(self.raise_us.unsigned_abs())
    }

    /// The first packet that is this receiver's.
    #[must_use]
    pub const fn first_index(&self) -> u64 {
        self.settings.first_index
    }

    /// The round trip, as the receiver reports it.
    #[must_use]
    pub const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// Counts since the connection began.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn seq(&self, index: u64) -> Seq {
        let place = index.wrapping_sub(self.settings.first_index);
        seq_of(place.wrapping_add(u64::from(self.settings.isn.value())))
    }
}

/// A token bucket of retransmissions, in millionths: what is less than a whole
/// packet is not lost between two questions.
#[derive(Debug)]
struct Budget {
    micro_tokens: u64,
    refilled_at: Instant,
}

const MICRO: u64 = 1_000_000;

impl Budget {
    const fn full(now: Instant) -> Self {
        Self {
            micro_tokens: BURST_MAX as u64 * MICRO,
            refilled_at: now,
        }
    }

    fn take(&mut self, now: Instant, packets_per_second: u32) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled_at);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let refill = elapsed_us.saturating_mul(u64::from(packets_per_second.max(REFILL_MIN)));
        let full = u64::from(BURST_MAX) * MICRO;
        self.micro_tokens = self.micro_tokens.saturating_add(refill).min(full);
        self.refilled_at += Duration::from_micros(elapsed_us);
        let has_token = self.micro_tokens >= MICRO;
        if has_token {
            self.micro_tokens -= MICRO;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::AckDetail;

    const FIRST: u64 = 1 << 40;

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn sender(isn: u32, now: Instant) -> Sender {
        let settings = Settings {
            destination: SocketId(5),
            isn: Seq::new(isn),
            first_index: FIRST,
            timeline_offset_us: -7,
            latency: ms(200),
            window_packets: 1 << 20,
        };
        Sender::new(settings, now)
    }

    fn ack(number: u32, rtt_us: u32, rtt_var_us: u32) -> Ack {
        let detail = AckDetail {
            rtt_us,
            rtt_var_us,
            buffer_available: 8192,
            rates: None,
        };
        Ack {
            number,
            next: Seq::new(0),
            detail: Some(detail),
        }
    }

    #[test]
    fn packets_are_labelled_at_a_constant_distance() {
        let mut sender = sender(0x7fff_ffff, start());
        assert_eq!(sender.label(FIRST - 1, Timestamp(0), false, 10), None);
        for (index, seq) in [(FIRST, 0x7fff_ffff), (FIRST + 1, 0), (FIRST + 9, 8)] {
            let header = sender.label(index, Timestamp(3), index == FIRST, 10);
            let header = header.expect("this receiver's");
            assert_eq!(header.seq, Seq::new(seq));
            assert_eq!(header.timestamp, Timestamp(u32::MAX - 3));
            assert_eq!(header.retransmitted, index == FIRST);
        }
        assert_eq!(sender.statistics().bytes, 30);
    }

    #[test]
    fn a_raise_moves_data_and_not_control_and_never_goes_back() {
        let mut sender = sender(1, start());
        sender.raise_latency_to(ms(500));
        sender.raise_latency_to(ms(300));
        assert_eq!(sender.latency(), ms(500));
        let header = sender.label(FIRST, Timestamp(7), false, 1).expect("its");
        assert_eq!(header.timestamp, Timestamp(300_000));
        assert_eq!(sender.control_header(Timestamp(7)).timestamp, Timestamp(0));
    }

    #[test]
    fn full_acknowledgements_are_confirmed_and_light_ones_are_not() {
        let mut sender = sender(1, start());
        assert_eq!(sender.handle_ack(&ack(9, 100_000, 50_000)), Some(9));
        assert!(
            !sender.rtt().is_measured(),
            "libsrt says so before it knows"
        );
        assert_eq!(sender.handle_ack(&ack(10, 30_000, 5_000)), Some(10));
        assert_eq!(sender.rtt().smoothed(), ms(30));
        let light = Ack {
            number: 0,
            next: Seq::new(3),
            detail: None,
        };
        assert_eq!(sender.handle_ack(&light), None);
    }

    #[test]
    fn a_jump_that_would_break_the_connection_goes_on_without_a_gap() {
        let mut sender = sender(100, start());
        sender.settings.window_packets = 8192;
        let mut seq = |index| {
            let header = sender.label(FIRST + index, Timestamp(0), false, 1);
            header.map(|header| header.seq.value())
        };
        assert_eq!(seq(0), Some(100));
        assert_eq!(seq(4096), Some(4196), "half of its window is no harm");
        assert_eq!(seq(4097 + 4096), Some(4197));
        assert_eq!(seq(4098 + 4096), Some(4198));
        assert_eq!(seq(4097), None, "what lies before has no number any more");
        assert_eq!(sender.statistics().restarts, 1);
        let before = SeqRange::new(Seq::new(150), Seq::new(160)).expect("in order");
        assert_eq!(sender.indexes(before), None);
        let around = SeqRange::new(Seq::new(4190), Seq::new(4197)).expect("in order");
        let first = FIRST + 4097 + 4096;
        assert_eq!(sender.indexes(around), Some((first, first)));
    }

    #[test]
    fn the_receivers_room_is_what_it_says_less_what_is_on_the_way() {
        let mut sender = sender(0x7fff_ffff, start());
        for index in 0..100 {
            sender.label(FIRST + index, Timestamp(0), false, 1);
        }
        assert_eq!(sender.in_flight(), 100);
        let acked = |next: u32, buffer_available| Ack {
            next: Seq::new(next),
            detail: ack(1, 1, 1).detail.map(|detail| AckDetail {
                buffer_available,
                ..detail
            }),
            ..ack(1, 1, 1)
        };
        sender.handle_ack(&acked(39, 70));
        assert_eq!((sender.in_flight(), sender.room()), (60, 10));
        sender.handle_ack(&acked(19, 50));
        assert_eq!((sender.in_flight(), sender.room()), (60, 0), "never back");
        sender.handle_ack(&acked(100, 50));
        assert_eq!(sender.in_flight(), 60, "nor beyond what was sent");
    }

    #[test]
    fn what_is_given_up_counts_once() {
        let mut sender = sender(1, start());
        sender.count_dropped(FIRST, FIRST + 9);
        sender.count_dropped(FIRST + 5, FIRST + 14);
        assert_eq!(sender.statistics().dropped, 15);
    }

    #[test]
    fn a_packet_is_not_sent_again_within_a_round_trip_and_its_variance() {
        let start = start();
        let mut sender = sender(1, start);
        sender.handle_ack(&ack(1, 30_000, 10_000));
        let mut at = |after| sender.may_retransmit(start + ms(after), FIRST, start, 500);
        assert!(!at(39));
        assert!(at(40));
        assert!(!at(79));
        assert!(at(80));
    }

    #[test]
    fn retransmissions_have_a_budget() {
        let start = start();
        let mut sender = sender(1, start);
        let later = start + ms(5000);
        let granted = (0..5000).filter(|i| sender.may_retransmit(later, FIRST + i, start, 500));
        assert_eq!(granted.count(), BURST_MAX as usize);
        let granted = (0..5000)
            .filter(|i| sender.may_retransmit(later + ms(100), FIRST + 5000 + i, start, 500));
        assert_eq!(granted.count(), REFILL_MIN as usize / 10);
    }

    #[test]
    fn late_packets_are_sent_for_a_second_or_the_latency() {
        let mut sender = sender(1, start());
        assert!(sender.is_worth_sending(1_020_000));
        assert!(!sender.is_worth_sending(1_020_001));
        sender.raise_latency_to(ms(3000));
        assert!(sender.is_worth_sending(3_020_000));
        assert!(sender.is_worth_sending(-5));
    }

    proptest! {
        #[test]
        fn reported_ranges_mean_the_packets_that_were_labelled(
            isn: u32, newest in 0u64..100_000, first in 0u64..120_000, count in 0u64..5000,
        ) {
            let mut sender = sender(isn, start());
            prop_assert!(sender.label(FIRST + newest, Timestamp(0), false, 1).is_some());
            let range = sender.range(FIRST + first, FIRST + first + count);
            let range = range.expect("in order");
            let expected = (first <= newest)
                .then(|| (FIRST + first, FIRST + (first + count).min(newest)));
            prop_assert_eq!(sender.indexes(range), expected);
        }

        #[test]
        fn no_range_means_more_than_was_sent(isn: u32, first: u32, count in 0u32..(1 << 30)) {
            let mut sender = sender(isn, start());
            prop_assert!(sender.label(FIRST + 100, Timestamp(0), false, 1).is_some());
            let first = Seq::new(first);
            let range = SeqRange::new(first, first.add(count)).expect("in order");
            if let Some((first, last)) = sender.indexes(range) {
                prop_assert!(FIRST <= first && first <= last && last <= FIRST + 100);
            }
        }
    }
}
