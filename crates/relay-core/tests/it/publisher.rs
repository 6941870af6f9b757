//! A simulated libsrt publisher: numbered payloads at a steady rate, sent again
//! when asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use srt::crypto::{KeyMaterial, RefreshAfter, SendKeys};
use srt::handshake::{KMREQ, KMRSP};
use srt::packet::{Control, ControlHeader, DataHeader, KeyParity, build};
use srt::{Packet, Seq, Timestamp};

use crate::caller::{Caller, KEEPALIVE, State, keepalive};

const PAYLOAD: usize = 300;

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) caller: Caller,
    pub(crate) interval: Duration,
    /// Sends nothing new while false.
    pub(crate) is_running: bool,
    /// Neither sends nor hears while true.
    pub(crate) is_dead: bool,
    pub(crate) sent: u64,
    pub(crate) retransmitted: u64,
    pub(crate) naks: u64,
    pub(crate) acks: u64,
    /// When each packet was handed over.
    pub(crate) published_at: Vec<Instant>,
    /// Payloads are transport stream packets, of which one in so many brings a
    /// table and an access point.
    pub(crate) group: Option<u64>,
    first_number: u64,
    next_at: Option<Instant>,
    kept: BTreeMap<u64, (Timestamp, KeyParity, Vec<u8>)>,
    /// How often it changes its keys.
    pub(crate) refresh: RefreshAfter,
    pub(crate) keys: Option<SendKeys>,
    pub(crate) key_changes: u64,
    parity: KeyParity,
    sent_at: Instant,
}

impl Publisher {
    pub(crate) fn new(caller: Caller, first_number: u64) -> Self {
        Self {
            sent_at: caller.started_at,
            caller,
            interval: Duration::from_micros(1750),
            is_running: true,
            is_dead: false,
            sent: 0,
            retransmitted: 0,
            naks: 0,
            acks: 0,
            published_at: Vec::new(),
            group: None,
            first_number,
            next_at: None,
            kept: BTreeMap::new(),
            refresh: RefreshAfter::default(),
            keys: None,
            key_changes: 0,
            parity: KeyParity::Even,
        }
    }

    fn seq(&self, place: u64) -> Seq {
        self.caller.isn().add(place as u32)
    }

    pub(crate) fn handle(&mut self, now: Instant, datagram: &[u8], outbox: &mut Vec<Vec<u8>>) {
        if self.is_dead || self.caller.state == State::Closed {
            return;
        }
        let Ok(Packet::Control { header, body }) = Packet::parse(datagram) else {
            panic!("a publisher got something that is no control packet");
        };
        if header.destination != self.caller.id {
            return; // to an earlier socket on this port
        }
        match body {
            Control::Handshake(handshake) => {
                if self.caller.handle_handshake(now, &handshake) {
                    self.next_at = Some(now);
                    self.keys = self.caller.send_keys(self.refresh);
                }
            }
            Control::User {
                subtype: KMRSP,
                body,
            } => {
                let keys = self.keys.as_mut().expect("keys were announced");
                keys.handle_answer(body);
            }
            Control::Ack(ack) => {
                self.acks += 1;
                if ack.number != 0 {
                    let mut buffer = [0; 64];
                    let header = self.caller.header(now).unwrap();
                    let length = build::ackack(&mut buffer, header, ack.number);
                    outbox.push(buffer[..length].to_vec());
                }
            }
            Control::Nak(nak) => {
                self.naks += 1;
                for seq in nak.ranges().flat_map(|range| range.iter().take(10_000)) {
                    let place = self.place(seq);
                    self.send(place, true, outbox);
                    self.retransmitted += 1;
                }
            }
            Control::Shutdown => self.caller.state = State::Closed,
            Control::KeepAlive => {}
            other => panic!("a publisher got {other:?}"),
        }
    }

    fn place(&self, seq: Seq) -> u64 {
        let newest = self.sent.checked_sub(1).expect("something was sent");
        let behind = self.seq(newest).distance(seq);
        newest
            .checked_sub(u64::from(behind))
            .expect("only sent packets are asked for")
    }

    fn send(&self, place: u64, retransmitted: bool, outbox: &mut Vec<Vec<u8>>) {
        let (Some(peer), Some((timestamp, key, payload))) =
            (self.caller.peer(), self.kept.get(&place))
        else {
            return;
        };
        let header = DataHeader {
            key: *key,
            retransmitted,
            ..DataHeader::live(self.seq(place), place as u32 + 1, *timestamp, peer)
        };
        outbox.push([&header.to_bytes()[..], payload].concat());
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.is_dead {
            return None;
        }
        let data_at = self
            .next_at
            .filter(|_| self.is_running && self.caller.peer().is_some());
        let keepalive_at = self.caller.peer().map(|_| self.sent_at + KEEPALIVE);
        [self.caller.poll_timeout(), data_at, keepalive_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Vec<Vec<u8>>) {
        if self.is_dead {
            return;
        }
        self.caller.handle_timeout(now, outbox);
        while let Some(at) = self.next_at.filter(|at| *at <= now) {
            if !self.is_running || self.caller.peer().is_none() {
                self.next_at = Some(now);
                break;
            }
            self.next_at = Some(at + self.interval);
            self.publish(now, outbox);
        }
        self.announce_keys(now, outbox);
        if now >= self.sent_at + KEEPALIVE {
            outbox.extend(self.caller.header(now).map(keepalive));
        }
        if !outbox.is_empty() {
            self.sent_at = now;
        }
    }

    /// As libsrt does: once, what is sent again is sent as it was.
    fn encrypt(&mut self, payload: &mut [u8]) -> KeyParity {
        let seq = self.seq(self.sent);
        let Some(keys) = &mut self.keys else {
            return KeyParity::Clear;
        };
        let parity = keys.encrypt(seq, payload).into();
        self.key_changes += u64::from(parity != self.parity);
        self.parity = parity;
        parity
    }

    fn announce_keys(&mut self, now: Instant, outbox: &mut Vec<Vec<u8>>) {
        let (Some(header), Some(keys)) = (self.caller.header(now), &mut self.keys) else {
            return;
        };
        if keys.wants_key().is_some() {
            keys.announce(&[self.sent as u8; 32]);
        }
        if let Some(message) = keys.poll_announcement(now, Duration::from_millis(100)) {
            outbox.push(key_request(header, message));
        }
    }

    fn publish(&mut self, now: Instant, outbox: &mut Vec<Vec<u8>>) {
        let number = self.first_number + self.sent;
        let mut payload = match self.group {
            Some(group) => transport_stream(number, self.sent.is_multiple_of(group)),
            None => plain(number),
        };
        let key = self.encrypt(&mut payload);
        self.kept
            .insert(self.sent, (self.caller.timestamp(now), key, payload));
        self.kept = self.kept.split_off(&self.sent.saturating_sub(2000));
        self.sent += 1;
        self.published_at.push(now);
        self.send(self.sent - 1, false, outbox);
    }

    pub(crate) fn shutdown(&mut self, now: Instant) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = build::shutdown(&mut buffer, self.caller.header(now).unwrap());
        self.caller.state = State::Closed;
        buffer[..length].to_vec()
    }
}

fn plain(number: u64) -> Vec<u8> {
    let mut payload = vec![number as u8; PAYLOAD];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}

/// Two packets; the second one ends with the number.
fn transport_stream(number: u64, is_start: bool) -> Vec<u8> {
    let mut payload = vec![0xff; 2 * 188];
    payload[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    payload[188..192].copy_from_slice(&[0x47, 0x01, 0x00, 0x10]);
    if is_start {
        payload[..4].copy_from_slice(&[0x47, 0x40, 0x00, 0x10]);
        payload[188..194].copy_from_slice(&[0x47, 0x41, 0x00, 0x30, 1, 0x40]);
        payload[194..198].copy_from_slice(&[0, 0, 1, 0xe0]);
    }
    payload[2 * 188 - 8..].copy_from_slice(&number.to_be_bytes());
    payload
}

/// The number that a payload carries, if it is as it was sent.
pub(crate) fn number_of(payload: &[u8]) -> Option<u64> {
    let (first, last) = (payload.first_chunk()?, payload.last_chunk()?);
    if payload.len() == PAYLOAD {
        let number = u64::from_be_bytes(*first);
        return (payload == plain(number)).then_some(number);
    }
    let number = u64::from_be_bytes(*last);
    let is_as_sent = [true, false].map(|is_start| transport_stream(number, is_start));
    is_as_sent
        .iter()
        .any(|sent| sent == payload)
        .then_some(number)
}

pub(crate) fn key_request(header: ControlHeader, message: &KeyMaterial) -> Vec<u8> {
    let mut buffer = [0; 256];
    let length = build::user(&mut buffer, header, KMREQ, message.as_bytes());
    buffer[..length].to_vec()
}
