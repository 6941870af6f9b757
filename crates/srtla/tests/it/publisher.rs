//! An SRT publisher after its handshake: numbers packets at a steady rate, sends again what is
//! reported missing, and answers acknowledgements.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use srt::packet::{Control, ControlHeader, DataHeader, HEADER_LEN, Packet, build};
use srt::{Seq, SocketId, Timestamp};

/// The number of the first packet: the stream's numbers wrap within the first seconds.
pub(crate) const ISN: Seq = Seq::new(0x7fff_f800);
/// 4.5 Mbit/s in packets of 1316 bytes.
const INTERVAL: Duration = Duration::from_micros(2340);
const PAYLOAD: [u8; 1316] = [0x47; 1316];
const KEPT_MAX: usize = 4096;

pub(crate) struct Publisher {
    start: Instant,
    next_at: Option<Instant>,
    next: Seq,
    kept: VecDeque<DataHeader>,
    again: VecDeque<DataHeader>,
    answers: VecDeque<Vec<u8>>,
    pub(crate) sent: u64,
    pub(crate) resent: u64,
}

impl Publisher {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            start: now,
            next_at: Some(now),
            next: ISN,
            kept: VecDeque::new(),
            again: VecDeque::new(),
            answers: VecDeque::new(),
            sent: 0,
            resent: 0,
        }
    }

    pub(crate) fn pause(&mut self) {
        self.next_at = None;
    }

    pub(crate) fn resume(&mut self, now: Instant) {
        self.next_at = Some(now);
    }

    /// Other numbers and another clock: the encoder was started again.
    pub(crate) fn restart(&mut self, now: Instant) {
        *self = Self {
            next: ISN.add(1_000_000),
            ..Self::new(now)
        };
    }

    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some(header) = self.again.pop_front() {
            self.resent += 1;
            return Some(packet(&header));
        }
        let at = self.next_at.filter(|at| *at <= now)?;
        self.next_at = Some(at + INTERVAL);
        let timestamp = Timestamp::after_start(at - self.start);
        let header = DataHeader::live(self.next, 1, timestamp, SocketId(7));
        self.next = self.next.next();
        self.sent += 1;
        self.kept.push_back(header);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
        Some(packet(&header))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next_at
    }

    pub(crate) fn handle(&mut self, bytes: &[u8]) {
        let Ok(Packet::Control { header, body }) = Packet::parse(bytes) else {
            return;
        };
        match body {
            Control::Ack(ack) => {
                self.kept.retain(|header| !header.seq.is_before(ack.next));
                if ack.number > 0 {
                    self.answer(header, ack.number);
                }
            }
            Control::Nak(nak) => nak.ranges().for_each(|range| {
                let lost = self.kept.iter().filter(|header| range.contains(header.seq));
                self.again.extend(lost.map(|header| DataHeader {
                    retransmitted: true,
                    ..*header
                }));
            }),
            _ => {}
        }
    }

    fn answer(&mut self, header: ControlHeader, number: u32) {
        let mut out = [0; build::CONTROL_MAX];
        let length = build::ackack(&mut out, header, number);
        self.answers.push_back(out[..length].to_vec());
    }

    pub(crate) fn poll_answer(&mut self) -> Option<Vec<u8>> {
        self.answers.pop_front()
    }
}

fn packet(header: &DataHeader) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN + PAYLOAD.len()];
    build::data_header(&mut bytes, header);
    bytes[HEADER_LEN..].copy_from_slice(&PAYLOAD);
    bytes
}
