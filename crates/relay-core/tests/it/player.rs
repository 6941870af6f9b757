//! A simulated libsrt player: plays each packet when it is due by the
//! timestamps it gets, follows drift the way libsrt's tracer does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use srt::crypto::{KeyMaterial, ReceiveKeys};
use srt::handshake::{KMREQ, KMRSP};
use srt::packet::{Control, DataHeader, KeyParity, build};
use srt::receiver::{Arrival, Receiver, Report, Settings, seq_of};
use srt::{Packet, Timestamp};

use crate::caller::{Caller, KEEPALIVE, State, keepalive};
use crate::publisher::number_of;

const DRIFT_SAMPLES: u32 = 1000;

/// A packet that was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) number: u64,
    pub(crate) at: Instant,
}

#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) caller: Caller,
    /// Hears and says nothing while true.
    pub(crate) is_dead: bool,
    pub(crate) played: Vec<Played>,
    /// Packets skipped because what came after them was due.
    pub(crate) skipped: u64,
    pub(crate) retransmitted: u64,
    pub(crate) drop_requests: u64,
    pub(crate) keepalives: u64,
    /// Every data packet's place as it arrived.
    pub(crate) arrivals: u64,
    pub(crate) duplicates: u64,
    /// Acknowledgements that were confirmed.
    pub(crate) acks_confirmed: u64,
    /// How far control packets were from one clock, on a path without jitter.
    pub(crate) clock_error_max_us: u64,
    /// The first data packet's.
    pub(crate) first_timestamp: Option<Timestamp>,
    /// Data packets that it does not hear, as libsrt right after a handshake.
    pub(crate) deaf_to: u64,
    /// Packets that its own receiver saw missing, late ones too.
    pub(crate) losses_seen: u64,
    /// The most packets that came before they were acknowledged.
    pub(crate) ahead_max: u64,
    acked_index: u64,
    /// How often the key of what it gets has changed.
    pub(crate) key_changes: u64,
    keys: Option<ReceiveKeys>,
    parity: KeyParity,
    receiver: Option<Receiver>,
    base: Option<(Instant, Timestamp)>,
    clock: Option<(Instant, Timestamp)>,
    drift: (i64, u32),
    buffer: BTreeMap<u64, (Timestamp, u64)>,
    next_index: u64,
    sent_at: Instant,
}

impl Player {
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            is_dead: false,
            played: Vec::new(),
            skipped: 0,
            retransmitted: 0,
            drop_requests: 0,
            keepalives: 0,
            arrivals: 0,
            duplicates: 0,
            acks_confirmed: 0,
            clock_error_max_us: 0,
            first_timestamp: None,
            deaf_to: 0,
            losses_seen: 0,
            ahead_max: 0,
            acked_index: 0,
            key_changes: 0,
            keys: None,
            parity: KeyParity::Even,
            receiver: None,
            base: None,
            clock: None,
            drift: (0, 0),
            buffer: BTreeMap::new(),
            next_index: 0,
            sent_at: caller.started_at,
            caller,
        }
    }

    pub(crate) fn latency(&self) -> Duration {
        match self.caller.state {
            State::Connected { latency, .. } => Duration::from_millis(u64::from(latency.send_ms)),
            _ => Duration::ZERO,
        }
    }

    /// The numbers played, in order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.played.iter().map(|played| played.number).collect()
    }

    pub(crate) fn handle(&mut self, now: Instant, datagram: &[u8], outbox: &mut Vec<Vec<u8>>) {
        if self.is_dead {
            return;
        }
        match Packet::parse(datagram).expect("the relay sends only packets") {
            Packet::Control { header, body } => {
                assert_eq!(header.destination, self.caller.id);
                self.handle_control(now, header.timestamp, body, outbox);
            }
            Packet::Data { header, payload } => {
                assert_eq!(header.destination, self.caller.id);
                if self.receiver.is_some() {
                    self.handle_data(now, &header, payload);
                }
            }
        }
        self.report(now, outbox);
    }

    /// The payload in the clear; whoever encrypts gets nothing that is not.
    fn decrypt(&mut self, header: &DataHeader, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        match &self.keys {
            None => assert_eq!(header.key, KeyParity::Clear),
            Some(keys) => {
                keys.decrypt(header.key, header.seq, &mut payload).unwrap();
                let is_new = !header.retransmitted && header.key != self.parity;
                self.key_changes += u64::from(is_new);
                self.parity = if is_new { header.key } else { self.parity };
            }
        }
        payload
    }

    fn handle_data(&mut self, now: Instant, header: &DataHeader, payload: &[u8]) {
        if self.deaf_to > 0 {
            self.deaf_to -= 1;
            return;
        }
        self.first_timestamp.get_or_insert(header.timestamp);
        let payload = &self.decrypt(header, payload)[..];
        let due = self.due(header.timestamp);
        let receiver = self.receiver.as_mut().unwrap();
        let length = payload.len();
        self.arrivals += 1;
        self.retransmitted += u64::from(header.retransmitted);
        match receiver.handle_data(now, header.seq, length, header.retransmitted, due) {
            Arrival::New { index } | Arrival::Recovered { index } => {
                let number = number_of(payload).expect("the payload is as it was sent");
                self.ahead_max = self.ahead_max.max(index + 1 - self.acked_index);
                if index >= self.next_index {
                    self.buffer.insert(index, (header.timestamp, number));
                }
            }
            Arrival::Duplicate => self.duplicates += 1,
            other => panic!("libsrt would break the connection: {other:?}"),
        }
        self.losses_seen = receiver.statistics().lost;
    }

    fn handle_control(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
        body: Control<'_>,
        outbox: &mut Vec<Vec<u8>>,
    ) {
        match body {
            Control::User {
                subtype: KMREQ,
                body,
            } => {
                let keys = self.keys.as_mut().expect("it encrypts");
                keys.accept(&KeyMaterial::parse(body).unwrap()).unwrap();
                let mut buffer = [0; 256];
                let header = self.caller.header(now).unwrap();
                let length = build::user(&mut buffer, header, KMRSP, body);
                outbox.push(buffer[..length].to_vec());
            }
            Control::Handshake(handshake) => {
                if self.caller.handle_handshake(now, &handshake) {
                    let isn = self.caller.isn();
                    let settings = Settings {
                        isn,
                        window_packets: self.caller.spec.flow_window,
                        gaps_max: 4096,
                    };
                    let receiver = Receiver::new(settings, now);
                    self.next_index = receiver.highest() + 1;
                    self.acked_index = self.next_index;
                    self.receiver = Some(receiver);
                    self.base = Some((now, timestamp));
                    self.clock = self.base;
                    self.keys = self.caller.receive_keys();
                }
            }
            Control::AckAck { number } => {
                let receiver = self.receiver.as_mut().expect("connected");
                receiver.handle_ackack(now, number);
                self.acks_confirmed += 1;
                self.check_clock(now, timestamp);
                self.trace_drift(now, timestamp);
            }
            Control::KeepAlive => {
                self.keepalives += 1;
                self.check_clock(now, timestamp);
                self.trace_drift(now, timestamp);
            }
            Control::DropReq { range, .. } => {
                self.drop_requests += 1;
                self.receiver
                    .as_mut()
                    .expect("connected")
                    .handle_drop_request(range);
            }
            Control::Shutdown => self.caller.state = State::Closed,
            other => panic!("a player got {other:?}"),
        }
    }

    fn trace_drift(&mut self, now: Instant, timestamp: Timestamp) {
        let (base_at, base) = self.base.expect("connected");
        let expected = offset(base_at, i64::from(timestamp.offset_us(base)));
        let late = signed_us(now, expected);
        self.drift = (self.drift.0 + late, self.drift.1 + 1);
        if self.drift.1 == DRIFT_SAMPLES {
            let mean = self.drift.0 / i64::from(DRIFT_SAMPLES);
            self.base = Some((offset(base_at, mean), base));
            self.drift = (0, 0);
        }
        // Follow the wrap, as libsrt does.
        let (base_at, base) = self.base.expect("connected");
        let moved = i64::from(timestamp.offset_us(base));
        if moved > 1_000_000_000 {
            self.base = Some((offset(base_at, moved), timestamp));
        }
    }

    /// The handshake's answer is the first packet of the clock.
    fn check_clock(&mut self, now: Instant, timestamp: Timestamp) {
        let (base_at, base) = self.clock.expect("connected");
        let elapsed_us = signed_us(now, base_at);
        let error_us = i64::from(timestamp.offset_us(base)) - elapsed_us;
        self.clock_error_max_us = self.clock_error_max_us.max(error_us.unsigned_abs());
    }

    fn due(&self, timestamp: Timestamp) -> Instant {
        let (base_at, base) = self.base.expect("connected");
        offset(base_at, i64::from(timestamp.offset_us(base))) + self.latency()
    }

    fn report(&mut self, now: Instant, outbox: &mut Vec<Vec<u8>>) {
        let Some(header) = self.caller.header(now) else {
            return;
        };
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        if now >= self.sent_at + KEEPALIVE {
            outbox.push(keepalive(header));
        }
        while let Some(report) = receiver.poll_report(now) {
            let mut buffer = [0; 1472];
            let length = match report {
                Report::Ack(ack) => {
                    let moved = ack.next.offset(seq_of(self.acked_index));
                    self.acked_index += u64::from(moved.max(0).unsigned_abs());
                    build::ack(&mut buffer, header, &ack)
                }
                Report::Nak(ranges) => build::nak(&mut buffer, header, ranges.iter().copied()),
            };
            outbox.push(buffer[..length].to_vec());
        }
        if !outbox.is_empty() {
            self.sent_at = now;
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.is_dead || self.caller.state == State::Closed {
            return None;
        }
        let receiver_at = self.receiver.as_ref().and_then(Receiver::poll_timeout);
        let due = self
            .buffer
            .first_key_value()
            .map(|(_, (timestamp, _))| self.due(*timestamp));
        let keepalive_at = self.caller.peer().map(|_| self.sent_at + KEEPALIVE);
        [self.caller.poll_timeout(), receiver_at, due, keepalive_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Vec<Vec<u8>>) {
        if self.is_dead || self.caller.state == State::Closed {
            return;
        }
        self.caller.handle_timeout(now, outbox);
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_timeout(now);
        }
        while let Some((index, (timestamp, number))) = self.buffer.first_key_value() {
            let (index, number) = (*index, *number);
            if self.due(*timestamp) > now {
                break;
            }
            self.skipped += index - self.next_index;
            self.next_index = index + 1;
            self.buffer.remove(&index);
            self.played.push(Played { number, at: now });
        }
        self.report(now, outbox);
    }
}

fn offset(at: Instant, us: i64) -> Instant {
    let span = Duration::from_micros(us.unsigned_abs());
    if us < 0 { at - span } else { at + span }
}

fn signed_us(a: Instant, b: Instant) -> i64 {
    let us = |span: Duration| span.as_micros() as i64;
    us(a.saturating_duration_since(b)) - us(b.saturating_duration_since(a))
}
