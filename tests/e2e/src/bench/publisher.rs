//! One publisher: numbers, stamps and sends payloads, and answers as libsrt's
//! sender does.

use std::time::{Duration, Instant};

use srt::packet::{Control, ControlHeader, DataHeader, HEADER_LEN, build};
use srt::{Packet, Seq, SeqRange, SocketId, Timestamp};

use super::batch::{TRAIN_BYTES_MAX, TRAIN_SEGMENTS_MAX};
use super::clock;
use super::outlet::Outlet;
use super::payload::{self, PAYLOAD_BYTES, Stamp};
use super::player::Connection;

/// A whole datagram.
pub(super) const DATAGRAM_BYTES: usize = HEADER_LEN + PAYLOAD_BYTES;
/// How many of them one system call may send.
pub(super) const TRAIN_MAX: usize = {
    let fit = TRAIN_BYTES_MAX / DATAGRAM_BYTES;
    if fit < TRAIN_SEGMENTS_MAX {
        fit
    } else {
        TRAIN_SEGMENTS_MAX
    }
};
/// Payloads that can be sent again.
const KEPT: usize = 8192;
const MESSAGE_MAX: u32 = 0x03ff_ffff;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Counts of one publisher.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    /// Judged payloads.
    pub(super) judged: u64,
    /// Payloads sent again while figures were taken.
    pub(super) retransmitted: u64,
    /// Datagrams that the kernel would not take.
    pub(super) refused: u64,
    /// Whether the relay ended the connection.
    pub(super) closed: bool,
}

/// Sends one stream.
pub(super) struct Publisher {
    pub(super) outlet: Outlet,
    pub(super) sent: Sent,
    connection: Connection,
    speaks_srt: bool,
    stream: u32,
    next: Seq,
    counter: u64,
    kept: Vec<Kept>,
    train: Vec<u8>,
    said_at: Instant,
}

/// What it takes to send a payload again, bit for bit.
#[derive(Debug, Clone, Copy)]
struct Kept {
    header: DataHeader,
    stamp: Stamp,
}

impl Publisher {
    /// A publisher on a path that speaks SRT, or else one that only forwards.
    pub(super) fn new(stream: u32, outlet: Outlet, connection: Option<Connection>) -> Self {
        let speaks_srt = connection.is_some();
        let connection = connection.unwrap_or_else(|| Connection {
            peer: SocketId(0),
            isn: Seq::new(1),
            start: Instant::now(),
        });
        let mut train = vec![0; TRAIN_MAX * DATAGRAM_BYTES];
        for datagram in train.chunks_exact_mut(DATAGRAM_BYTES) {
            datagram[HEADER_LEN..].copy_from_slice(&payload::blank());
        }
        Self {
            outlet,
            sent: Sent::default(),
            connection,
            speaks_srt,
            stream,
            next: connection.isn,
            counter: 0,
            kept: Vec::new(),
            train,
            said_at: connection.start,
        }
    }

    /// Sends the next `count` payloads back to back, at most [`TRAIN_MAX`].
    pub(super) fn send(&mut self, now: Instant, count: usize, judged: bool) {
        let count = count.min(TRAIN_MAX);
        self.said_at = now;
        let sent_ns = clock::wall_ns();
        for place in 0..count {
            let kept = self.number(now, sent_ns, judged);
            let at = place * DATAGRAM_BYTES;
            write(&kept, &mut self.train[at..at + DATAGRAM_BYTES]);
        }
        self.sent.judged += if judged { count as u64 } else { 0 };
        let train = &self.train[..count * DATAGRAM_BYTES];
        if !self.outlet.send_train(now, train, DATAGRAM_BYTES as u16) {
            self.sent.refused += count as u64;
        }
    }

    fn number(&mut self, now: Instant, sent_ns: u64, judged: bool) -> Kept {
        let message = (self.counter % u64::from(MESSAGE_MAX)) as u32 + 1;
        let timestamp = self.timestamp(now);
        let kept = Kept {
            header: DataHeader::live(self.next, message, timestamp, self.connection.peer),
            stamp: Stamp {
                sent_ns,
                counter: self.counter,
                stream: self.stream,
                judged,
            },
        };
        if self.speaks_srt {
            self.keep(kept);
        }
        self.next = self.next.next();
        self.counter += 1;
        kept
    }

    fn keep(&mut self, kept: Kept) {
        if self.kept.len() < KEPT {
            self.kept.push(kept);
        } else {
            self.kept[self.counter as usize % KEPT] = kept;
        }
    }

    /// Takes one datagram of the relay's, which came to the socket of this link.
    pub(super) fn handle(&mut self, now: Instant, link: usize, datagram: &[u8]) {
        if matches!(self.outlet, Outlet::Plain(_)) {
            return self.handle_srt(now, datagram);
        }
        self.outlet.receive(now, link, datagram);
        while let Some(datagram) = self.outlet.poll_local() {
            self.handle_srt(now, &datagram);
        }
    }

    /// Takes what waits in the sockets of links: who hears nothing gives them up.
    pub(super) fn receive_waiting(&mut self, now: Instant) {
        let mut buffer = [0; DATAGRAM_BYTES];
        for link in 0..self.outlet.sockets().len() {
            while let Ok(length) = self.outlet.sockets()[link].io().recv(&mut buffer) {
                self.handle(now, link, &buffer[..length]);
            }
        }
    }

    fn handle_srt(&mut self, now: Instant, datagram: &[u8]) {
        let Ok(Packet::Control { body, .. }) = Packet::parse(datagram) else {
            return;
        };
        match body {
            Control::Ack(ack) if ack.number != 0 => {
                self.say(now, |out, header| build::ackack(out, header, ack.number));
            }
            Control::Nak(nak) => nak.ranges().for_each(|range| self.repeat(now, range)),
            Control::Shutdown => self.sent.closed = true,
            // A keepalive is never answered.
            _ => {}
        }
    }

    fn repeat(&mut self, now: Instant, range: SeqRange) {
        // A report may name more than is kept; only what is kept counts.
        for seq in range.iter().take(KEPT) {
            let place = u64::from(seq.distance(self.connection.isn)) as usize % KEPT;
            let Some(kept) = self.kept.get_mut(place).filter(|k| k.header.seq == seq) else {
                continue;
            };
            kept.header.retransmitted = true;
            let mut datagram = [0; DATAGRAM_BYTES];
            datagram[HEADER_LEN..].copy_from_slice(&payload::blank());
            write(kept, &mut datagram);
            self.outlet.send(now, &datagram);
            self.sent.retransmitted += 1;
        }
    }

    /// Says that it is still there when it has nothing else to say.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.outlet.handle_timeout(now);
        if self.speaks_srt && now >= self.said_at + KEEPALIVE_INTERVAL {
            self.say(now, build::keepalive);
        }
    }

    /// Ends the connection politely.
    pub(super) fn shut_down(&mut self, now: Instant) {
        if self.speaks_srt {
            self.say(now, build::shutdown);
        }
    }

    fn say(&mut self, now: Instant, write: impl FnOnce(&mut [u8], ControlHeader) -> usize) {
        self.said_at = now;
        let header = ControlHeader {
            timestamp: self.timestamp(now),
            destination: self.connection.peer,
        };
        let mut out = [0; build::CONTROL_MAX];
        let length = write(&mut out, header);
        self.outlet.send(now, &out[..length]);
    }

    fn timestamp(&self, now: Instant) -> Timestamp {
        Timestamp::after_start(now.saturating_duration_since(self.connection.start))
    }
}

/// The payload beside the stamp is in `datagram` already.
fn write(kept: &Kept, datagram: &mut [u8]) {
    datagram[..HEADER_LEN].copy_from_slice(&kept.header.to_bytes());
    kept.stamp.write(&mut datagram[HEADER_LEN..]);
}
