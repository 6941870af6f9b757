//! One player: takes payloads and answers as libsrt's receiver does, but with
//! nothing kept and nothing delayed.

use std::time::{Duration, Instant};

use srt::packet::{Ack, AckDetail, AckRates, Control, ControlHeader, build};
use srt::{Packet, Seq, SeqRange, SocketId, Timestamp};
use testkit::srt_caller::{self, Role};

use super::payload::Stamp;
use super::socket::Socket;
use super::tally::Tally;

/// libsrt acknowledges in full so often, and in between every so many packets.
pub(super) const ACK_INTERVAL: Duration = Duration::from_millis(10);
const LIGHT_ACK_PACKETS: u32 = 64;
/// The flow window that the handshake told, in packets.
const WINDOW_PACKETS: u32 = 8192;
/// libsrt's first guess of the round-trip time.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// How often a gap is reported, and when it is given up.
const NAK_INTERVAL: Duration = Duration::from_millis(20);
const GAP_LIFETIME: Duration = Duration::from_millis(500);
const GAPS_MAX: usize = 256;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// What a handshake agreed on, as far as one end needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    /// The relay's socket id.
    pub(super) peer: SocketId,
    /// The first sequence number of the stream's direction.
    pub(super) isn: Seq,
    /// Where the caller's timeline begins.
    pub(super) start: Instant,
}

impl Connection {
    /// What a caller made.
    pub(super) const fn of(made: &srt_caller::Connection, role: Role) -> Self {
        Self {
            peer: made.peer,
            isn: match role {
                Role::Publisher => made.isn,
                Role::Player => made.peer_isn,
            },
            start: made.start,
        }
    }
}

/// Takes one stream.
pub(super) struct Player {
    pub(super) socket: Socket,
    pub(super) tally: Tally,
    /// None without SRT: on a path that only forwards.
    receiver: Option<Receiver>,
}

impl Player {
    pub(super) fn new(socket: Socket, connection: Option<Connection>) -> Self {
        Self {
            socket,
            tally: Tally::default(),
            receiver: connection.map(Receiver::new),
        }
    }

    /// Takes one datagram that the kernel took at `arrived_ns`.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8], arrived_ns: u64) {
        match Packet::parse(datagram) {
            Ok(Packet::Data { header, payload }) => {
                if let Some(stamp) = Stamp::read(payload) {
                    self.tally.add(&stamp, arrived_ns);
                }
                if let Some(receiver) = &mut self.receiver {
                    receiver.handle_data(now, header.seq, &self.socket);
                }
            }
            Ok(Packet::Control { body, .. }) => {
                if let Some(receiver) = &mut self.receiver {
                    self.tally.closed |= body == Control::Shutdown;
                    receiver.handle_control(now, &body);
                }
            }
            Err(_) => self.tally.foreign += 1,
        }
    }

    /// Sends what is due; called every [`ACK_INTERVAL`].
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(receiver) = &mut self.receiver {
            receiver.handle_timeout(now, &self.socket);
        }
    }
}

struct Receiver {
    connection: Connection,
    /// The number after the highest that came.
    next: Seq,
    gaps: Vec<Gap>,
    acknowledged: Seq,
    ack_number: u32,
    acked_at: Instant,
    since_ack: u32,
    rtt: Duration,
    said_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    range: SeqRange,
    since: Instant,
    reported_at: Instant,
}

impl Receiver {
    fn new(connection: Connection) -> Self {
        let now = connection.start;
        Self {
            connection,
            next: connection.isn,
            gaps: Vec::new(),
            acknowledged: connection.isn,
            ack_number: 0,
            acked_at: now,
            since_ack: 0,
            rtt: FIRST_RTT,
            said_at: now,
        }
    }

    fn handle_data(&mut self, now: Instant, seq: Seq, socket: &Socket) {
        self.since_ack += 1;
        if seq.is_before(self.next) {
            self.fill(seq);
        } else {
            if seq != self.next {
                self.report_gap(now, SeqRange::new(self.next, seq.previous()), socket);
            }
            self.next = seq.next();
        }
        if self.since_ack.is_multiple_of(LIGHT_ACK_PACKETS) {
            let next = self.contiguous();
            self.say(now, socket, |out, header| {
                build::light_ack(out, header, next)
            });
        }
    }

    fn handle_control(&mut self, now: Instant, body: &Control<'_>) {
        match *body {
            Control::AckAck { number } if number == self.ack_number => {
                let sample = now.saturating_duration_since(self.acked_at);
                self.rtt = (self.rtt * 7 + sample) / 8;
            }
            Control::DropReq { range, .. } => range.iter().for_each(|seq| self.fill(seq)),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, socket: &Socket) {
        self.report_again(now, socket);
        let next = self.contiguous();
        if next != self.acknowledged {
            self.acknowledge(now, next, socket);
        }
        if now >= self.said_at + KEEPALIVE_INTERVAL {
            self.say(now, socket, build::keepalive);
        }
    }

    fn acknowledge(&mut self, now: Instant, next: Seq, socket: &Socket) {
        let per_second = (f64::from(self.since_ack)
            / now
                .saturating_duration_since(self.acked_at)
                .as_secs_f64()
                .max(ACK_INTERVAL.as_secs_f64())) as u32;
        self.acknowledged = next;
        self.ack_number += 1;
        self.acked_at = now;
        self.since_ack = 0;
        let rtt_us = u32::try_from(self.rtt.as_micros()).unwrap_or(u32::MAX);
        let ack = Ack {
            number: self.ack_number,
            next,
            detail: Some(AckDetail {
                rtt_us,
                rtt_var_us: rtt_us / 4,
                buffer_available: WINDOW_PACKETS,
                rates: Some(AckRates {
                    packets_per_second: per_second,
                    capacity_packets_per_second: per_second.max(1000),
                    bytes_per_second: per_second.saturating_mul(1360),
                }),
            }),
        };
        self.say(now, socket, |out, header| build::ack(out, header, &ack));
    }

    /// The first number that is missing.
    fn contiguous(&self) -> Seq {
        self.gaps.first().map_or(self.next, |gap| gap.range.first())
    }

    fn report_gap(&mut self, now: Instant, range: Option<SeqRange>, socket: &Socket) {
        let Some(range) = range.filter(|_| self.gaps.len() < GAPS_MAX) else {
            return;
        };
        self.gaps.push(Gap {
            range,
            since: now,
            reported_at: now,
        });
        self.say(now, socket, |out, header| build::nak(out, header, [range]));
    }

    fn report_again(&mut self, now: Instant, socket: &Socket) {
        self.gaps.retain(|gap| now < gap.since + GAP_LIFETIME);
        let mut due = Vec::new();
        for gap in &mut self.gaps {
            if now >= gap.reported_at + NAK_INTERVAL {
                gap.reported_at = now;
                due.push(gap.range);
            }
        }
        if !due.is_empty() {
            self.say(now, socket, |out, header| build::nak(out, header, due));
        }
    }

    /// Takes `seq` out of the gap that has it.
    fn fill(&mut self, seq: Seq) {
        let Some(place) = self.gaps.iter().position(|gap| gap.range.contains(seq)) else {
            return;
        };
        let gap = self.gaps.remove(place);
        let (first, last) = (gap.range.first(), gap.range.last());
        let after = (seq != last).then(|| SeqRange::new(seq.next(), last));
        let before = (seq != first).then(|| SeqRange::new(first, seq.previous()));
        for range in [after, before].into_iter().flatten().flatten() {
            self.gaps.insert(place, Gap { range, ..gap });
        }
    }

    fn say(
        &mut self,
        now: Instant,
        socket: &Socket,
        write: impl FnOnce(&mut [u8], ControlHeader) -> usize,
    ) {
        self.said_at = now;
        let header = ControlHeader {
            timestamp: Timestamp::after_start(now - self.connection.start),
            destination: self.connection.peer,
        };
        let mut out = [0; 1456];
        let length = write(&mut out, header);
        socket.send(&out[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> (Receiver, Socket, Instant) {
        let start = Instant::now();
        let connection = Connection {
            peer: SocketId(7),
            isn: Seq::new(0x7fff_fffe),
            start,
        };
        let socket = Socket::bind().unwrap();
        socket.connect(socket.address()).unwrap();
        (Receiver::new(connection), socket, start)
    }

    fn said(socket: &Socket) -> Vec<Vec<u8>> {
        let mut batch = super::super::batch::ReceiveBatch::new(16, 2048);
        let count = batch.receive(socket.io()).unwrap();
        (0..count)
            .map(|place| batch.received(place).bytes.to_vec())
            .collect()
    }

    #[test]
    fn a_gap_is_reported_acknowledged_up_to_and_filled() {
        let (mut receiver, socket, now) = receiver();
        let isn = receiver.connection.isn;
        for place in [0, 1, 5] {
            receiver.handle_data(now, isn.add(place), &socket);
        }
        receiver.handle_timeout(now, &socket);
        let packets = said(&socket);
        let Ok(Packet::Control {
            body: Control::Nak(nak),
            ..
        }) = Packet::parse(&packets[0])
        else {
            panic!("no loss report");
        };
        let missing = SeqRange::new(isn.add(2), isn.add(4)).unwrap();
        assert_eq!(nak.ranges().collect::<Vec<_>>(), [missing]);
        assert_eq!(receiver.acknowledged, isn.add(2));

        receiver.handle_data(now, isn.add(3), &socket);
        assert_eq!(receiver.contiguous(), isn.add(2));
        receiver.handle_data(now, isn.add(2), &socket);
        assert_eq!(receiver.contiguous(), isn.add(4));
        receiver.handle_data(now, isn.add(4), &socket);
        assert_eq!(receiver.contiguous(), isn.add(6));
        assert!(receiver.gaps.is_empty());
    }

    #[test]
    fn a_gap_is_given_up() {
        let (mut receiver, socket, now) = receiver();
        let isn = receiver.connection.isn;
        receiver.handle_data(now, isn.add(1), &socket);
        receiver.handle_timeout(now + GAP_LIFETIME, &socket);
        assert_eq!(receiver.acknowledged, isn.add(2));
    }
}
