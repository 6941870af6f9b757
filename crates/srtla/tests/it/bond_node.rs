//! A node's end of a bonded path: what a relay does with the registry and its SRT receiver.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use srt::packet::{Control, ControlHeader, DataHeader, HEADER_LEN, Packet, build};
use srt::receiver::{Arrival, Receiver, Report, Settings};
use srt::{SeqRange, SocketId, Timestamp};
use streamhaul_srtla::packet::{Class, REPLY_LEN_MAX, classify};
use streamhaul_srtla::reorder::{self, Gap};
use streamhaul_srtla::{Config, GroupKey, Handled, LinkKey, LinkSample, Registry};

use crate::node::path;

pub(crate) const LATENCY: Duration = Duration::from_millis(2000);

pub(crate) struct BondNode {
    pub(crate) registry: Registry,
    pub(crate) session: Option<Session>,
    transmits: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// The SRT session of the one group there is.
pub(crate) struct Session {
    pub(crate) group: GroupKey,
    pub(crate) receiver: Receiver,
    pub(crate) began_at: Instant,
    /// When the newest of the packets that came first arrived.
    pub(crate) data_at: Instant,
    /// The longest time without one.
    pub(crate) longest_pause: Duration,
    /// Packets that came by themselves, after a later one.
    overtaken: u64,
    timestamp: Timestamp,
}

impl Session {
    /// When a packet is played, by the first packet's time.
    fn due(&self, timestamp: Timestamp) -> Instant {
        let offset_us = timestamp.offset_us(self.timestamp).max(0);
        self.began_at + LATENCY + Duration::from_micros(u64::from(offset_us.unsigned_abs()))
    }
}

impl BondNode {
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        Self {
            registry: Registry::new(config, [9; 32], now),
            session: None,
            transmits: VecDeque::new(),
        }
    }

    /// The process ends and begins: nothing is remembered.
    pub(crate) fn restart(&mut self, now: Instant) {
        let registry = Registry::new(Config::default(), [10; 32], now);
        *self = Self {
            registry,
            ..Self::new(Config::default(), now)
        };
    }

    pub(crate) fn handle(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        match classify(datagram) {
            Class::Srtla => self.handle_control(now, from, datagram),
            Class::Srt => {
                let link = self.registry.handle_srt(now, path(from), datagram.len());
                if let Some(link) = link {
                    self.handle_srt(now, link, from, datagram);
                }
            }
            Class::Unknown => panic!("a sender of ours sends no such thing"),
        }
    }

    fn handle_control(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let mut out = [0; REPLY_LEN_MAX];
        let handled = self
            .registry
            .handle_control(now, path(from), datagram, &mut out);
        if let Ok(Handled::Reply(length)) = handled {
            self.transmits.push_back((from, out[..length].to_vec()));
        }
    }

    fn handle_srt(&mut self, now: Instant, link: LinkKey, from: SocketAddr, datagram: &[u8]) {
        match Packet::parse(datagram).unwrap() {
            Packet::Data { header, payload } => {
                self.handle_data(now, link, from, &header, payload.len());
            }
            Packet::Control {
                body: Control::AckAck { number },
                ..
            } => {
                if let Some(session) = &mut self.session {
                    session.receiver.handle_ackack(now, number);
                }
            }
            Packet::Control { .. } => {}
        }
        self.report(now);
    }

    fn handle_data(
        &mut self,
        now: Instant,
        link: LinkKey,
        from: SocketAddr,
        header: &DataHeader,
        length: usize,
    ) {
        if self.session.is_none() {
            self.begin(now, link.group, header);
        }
        let session = self.session.as_mut().unwrap();
        assert_eq!(session.group, link.group);
        let deadline = session.due(header.timestamp);
        let arrival =
            session
                .receiver
                .handle_data(now, header.seq, length, header.retransmitted, deadline);
        let is_overtaken = matches!(arrival, Arrival::Recovered { .. }) && !header.retransmitted;
        session.overtaken += u64::from(is_overtaken);
        if let Arrival::New { .. } | Arrival::Recovered { .. } = arrival {
            let pause = now - session.data_at;
            session.longest_pause = session.longest_pause.max(pause);
            session.data_at = now;
        }
        if let Some(ack) = self.registry.handle_data(now, link, header, arrival) {
            self.transmits.push_back((from, ack.to_vec()));
        }
    }

    /// Stands in for the handshake.
    fn begin(&mut self, now: Instant, group: GroupKey, header: &DataHeader) {
        let settings = Settings {
            isn: header.seq,
            window_packets: 8192,
            gaps_max: 1024,
        };
        let mut receiver = Receiver::new(settings, now);
        receiver.hold_gaps();
        self.registry.session_started(now, group);
        self.session = Some(Session {
            group,
            receiver,
            began_at: now,
            data_at: now,
            longest_pause: Duration::ZERO,
            overtaken: 0,
            timestamp: header.timestamp,
        });
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.registry.handle_timeout(now);
        if let Some(session) = &mut self.session {
            session.receiver.handle_timeout(now);
        }
        self.report(now);
    }

    /// Sends what the receiver has to say: to every link.
    fn report(&mut self, now: Instant) {
        let Some(session) = &mut self.session else {
            return;
        };
        let (group, registry) = (session.group, &mut self.registry);
        let settings = reorder::Settings::for_latency(LATENCY);
        session.receiver.release_gaps(now, |gap| {
            let gap = Gap {
                last: gap.last,
                opened_at: gap.opened_at,
            };
            registry.hold_until(now, group, &settings, &gap)
        });
        while let Some(report) = session.receiver.poll_report(now) {
            if let Report::Nak(ranges) = report {
                for range in ranges {
                    registry.handle_lost(now, group, *range);
                }
            }
            let packet = build_report(&report);
            let paths = registry.broadcast(group);
            self.transmits
                .extend(paths.map(|path| (path.peer, packet.clone())));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let receiver = self.session.as_ref().map(|session| &session.receiver);
        let receiver_at = receiver.and_then(Receiver::poll_timeout);
        [self.registry.poll_timeout(), receiver_at]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.transmits.pop_front()
    }

    pub(crate) fn samples(&mut self, now: Instant) -> Vec<LinkSample> {
        let group = self.session.as_ref().unwrap().group;
        self.registry.samples(now, group)
    }

    /// Packets that came by themselves, after a later one.
    pub(crate) fn overtaken(&self) -> u64 {
        self.session.as_ref().unwrap().overtaken
    }

    pub(crate) fn statistics(&self) -> srt::receiver::Statistics {
        *self.session.as_ref().unwrap().receiver.statistics()
    }
}

fn build_report(report: &Report<'_>) -> Vec<u8> {
    let header = ControlHeader {
        timestamp: Timestamp(0),
        destination: SocketId(1),
    };
    let mut out = [0; HEADER_LEN + build::NAK_WORDS_MAX * 4];
    let length = match report {
        Report::Ack(ack) => build::ack(&mut out, header, ack),
        Report::Nak(ranges) => {
            let ranges: &[SeqRange] = ranges;
            build::nak(&mut out, header, ranges.iter().copied())
        }
    };
    out[..length].to_vec()
}
