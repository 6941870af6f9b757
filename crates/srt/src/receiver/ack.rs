//! Acknowledgements: what to tell of what has come, and the round trip that the answers measure.

use std::time::{Duration, Instant};

use super::{Receiver, seq_of};
use crate::packet::{Ack, AckDetail, AckRates};

/// How often a full acknowledgement is sent while packets arrive.
pub(super) const ACK_INTERVAL: Duration = Duration::from_millis(10);
/// How much later the timer does it when no packet came to do it on time: so
/// that a steady stream needs no timer at all.
const ACK_TIMER_SLACK: Duration = Duration::from_millis(5);
/// Packets between two light acknowledgements.
pub(super) const LIGHT_ACK_PACKETS: u32 = 64;
/// No live sender uses the capacity; an honest floor keeps old ones going.
const CAPACITY_MIN: u32 = 1000;

#[derive(Debug)]
pub(super) struct AckState {
    /// The number of the last full acknowledgement.
    pub(super) number: u32,
    /// What it said, and when.
    pub(super) sent: Option<(u64, Instant)>,
    /// The first one that said so.
    pub(super) first_number: u32,
    /// Whether the peer confirmed it.
    pub(super) confirmed: bool,
    pub(super) packets_since: u32,
    pub(super) is_due: bool,
}

impl AckState {
    pub(super) const fn new() -> Self {
        Self {
            number: 0,
            sent: None,
            first_number: 0,
            confirmed: true,
            packets_since: 0,
            is_due: false,
        }
    }
}

impl Receiver {
    /// Takes the peer's answer to a full acknowledgement. Returns the round
    /// trip, unless the answer is a copy or to nothing we sent.
    pub fn handle_ackack(&mut self, now: Instant, number: u32) -> Option<Duration> {
        let round_trip = self.acks.answered(number, now)?;
        self.rtt.sample(round_trip);
        self.ack.confirmed |= (self.ack.first_number..=self.ack.number).contains(&number);
        Some(round_trip)
    }

    pub(super) fn ack_timer(&self) -> Option<Instant> {
        match self.ack.sent {
            Some((_, at)) if self.ack_moved() => Some(at + ACK_INTERVAL + ACK_TIMER_SLACK),
            Some((_, at)) if !self.ack.confirmed => Some(at + self.rtt.patience() + ACK_INTERVAL),
            _ => None,
        }
    }

    pub(super) fn full_ack(&mut self, now: Instant) -> Ack {
        let number = self.ack.number.wrapping_add(1).max(1);
        let point = self.ack_point();
        let repeats = self.ack.sent.is_some_and(|(said, _)| said == point);
        self.acks.sent(number, now);
        self.ack = AckState {
            number,
            first_number: if repeats {
                self.ack.first_number
            } else {
                number
            },
            sent: Some((point, now)),
            confirmed: false,
            packets_since: 0,
            is_due: false,
        };
        Ack {
            number,
            next: seq_of(point),
            detail: Some(self.ack_detail(now)),
        }
    }

    fn ack_detail(&self, now: Instant) -> AckDetail {
        let packets_per_second = self.rate.packets_per_second(now);
        AckDetail {
            rtt_us: micros(self.rtt.smoothed()),
            rtt_var_us: micros(self.rtt.variance()),
            buffer_available: self.window_packets,
            rates: Some(AckRates {
                packets_per_second,
                capacity_packets_per_second: packets_per_second.max(CAPACITY_MIN),
                bytes_per_second: u32::try_from(self.rate.bytes_per_second(now))
                    .unwrap_or(u32::MAX),
            }),
        }
    }

    pub(super) fn ack_moved(&self) -> bool {
        match self.ack.sent {
            Some((point, _)) => point != self.ack_point(),
            None => self.statistics.packets > 0,
        }
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
