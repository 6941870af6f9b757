//! An SRTLA sender, sans-IO: spreads the datagrams of one SRT caller over several links.
//!
//! It does what the sender everybody began with does (BELABOX `srtla_send`), in rules, timers and
//! numbers: each datagram goes to the link with the most window for what is in flight; windows grow
//! with each SRTLA acknowledgement and shrink with each loss reported; a link that hears nothing
//! for four seconds is down and registers anew. [`udp::UdpSender`] drives one between real programs.

mod link;
pub mod udp;
mod uplink;

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use srt::Seq;
use srt::packet::{Control, Packet as SrtPacket};
use srtla::packet::{self, ConnectionInfo, ID_LEN, Packet};

use link::Link;
pub use link::LinkState;
pub use uplink::Uplink;

/// How often links are looked after.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// An answer to a registration is waited for so long.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(4);
/// A link that sent nothing for so long sends a keepalive.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Which form of keepalive is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlives {
    /// Two bytes, on idle links: BELABOX.
    Plain,
    /// With a time, on idle links: measures the round trip.
    Timed,
    /// With the link's state, each second on every link: newer senders.
    Extended,
}

/// A datagram for the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The link to send it on.
    pub link: usize,
    /// The whole UDP payload.
    pub bytes: Vec<u8>,
}

/// An SRTLA sender.
///
/// After [`handle_local`](Self::handle_local), [`handle_remote`](Self::handle_remote) or
/// [`handle_timeout`](Self::handle_timeout), take [`poll_transmit`](Self::poll_transmit) and
/// [`poll_local`](Self::poll_local) until they give nothing; then
/// [`poll_timeout`](Self::poll_timeout) says when to call again.
#[derive(Debug)]
pub struct Sender {
    id: [u8; ID_LEN],
    keepalives: KeepAlives,
    links: Vec<Link>,
    start: Instant,
    /// The link that waits for the answer to REG1, and until when.
    asked: Option<(usize, Instant)>,
    missing: Missing,
    housekeeping_at: Instant,
    transmits: VecDeque<Transmit>,
    locals: VecDeque<Vec<u8>>,
}

/// What the SRT receiver misses; it says so again and again.
#[derive(Debug, Default)]
struct Missing {
    open: HashSet<Seq>,
    packets: u64,
}

impl Missing {
    fn note(&mut self, seq: Seq) {
        self.packets += u64::from(self.open.insert(seq));
    }

    fn clear_before(&mut self, next: Seq) {
        self.open.retain(|seq| !seq.is_before(next));
    }
}

impl Sender {
    /// A sender with so many links, none of them registered; `id` should be random.
    #[must_use]
    pub fn new(id: [u8; ID_LEN], links: usize, keepalives: KeepAlives, now: Instant) -> Self {
        Self {
            id,
            keepalives,
            links: (0..links).map(|_| Link::default()).collect(),
            start: now,
            asked: None,
            missing: Missing::default(),
            housekeeping_at: now,
            transmits: VecDeque::new(),
            locals: VecDeque::new(),
        }
    }

    /// The links as they are.
    #[must_use]
    pub fn links(&self, now: Instant) -> Vec<LinkState> {
        self.links.iter().map(|link| link.state(now)).collect()
    }

    /// Packets that the receiver reported missing, each once. Links count fewer: what came late
    /// they may know to have come.
    #[must_use]
    pub const fn reported_missing(&self) -> u64 {
        self.missing.packets
    }

    /// Takes a datagram of the SRT caller. Without a link it is lost.
    pub fn handle_local(&mut self, now: Instant, bytes: &[u8]) {
        let Some(index) = self.best_link(now) else {
            return;
        };
        if let Ok(SrtPacket::Data { header, .. }) = SrtPacket::parse(bytes) {
            self.links[index].sent(header.seq);
        }
        self.transmit(now, index, bytes);
    }

    /// The link with the most window for what is in flight; of equals the first.
    fn best_link(&self, now: Instant) -> Option<usize> {
        let live = (0..self.links.len()).filter(|index| self.links[*index].is_live(now));
        live.min_by_key(|index| std::cmp::Reverse(self.links[*index].score()))
    }

    /// Takes a datagram that came over a link.
    pub fn handle_remote(&mut self, now: Instant, index: usize, bytes: &[u8]) {
        match Packet::parse(bytes) {
            Ok(Packet::RegNgp) => return self.no_group(now, index),
            Ok(Packet::Reg2(id)) => return self.named(now, index, id),
            Ok(Packet::RegErr) => return self.refused(index),
            Ok(Packet::Reg3) => self.links[index].registered(now),
            Ok(Packet::KeepAlive(keepalive)) => {
                self.links[index].answered(now, self.start, keepalive.time_ms());
            }
            Ok(Packet::Ack(list)) => list
                .seqs()
                .for_each(|seq| self.acknowledged(now, index, seq)),
            Ok(Packet::Reg1(_) | Packet::RegNak) => {}
            Err(_) => self.handle_srt(bytes),
        }
        self.links[index].heard(now);
    }

    fn handle_srt(&mut self, bytes: &[u8]) {
        match SrtPacket::parse(bytes) {
            Ok(SrtPacket::Control {
                body: Control::Ack(ack),
                ..
            }) => {
                let links = self.links.iter_mut();
                links.for_each(|link| link.clear_before(ack.next));
                self.missing.clear_before(ack.next);
            }
            Ok(SrtPacket::Control {
                body: Control::Nak(nak),
                ..
            }) => nak
                .ranges()
                .flat_map(|range| range.iter().take(1000))
                .for_each(|seq| self.lost(seq)),
            _ => {}
        }
        self.locals.push_back(bytes.to_vec());
    }

    /// The link that holds the packet gains; all live ones a little.
    fn acknowledged(&mut self, now: Instant, index: usize, seq: Seq) {
        self.links[index].acknowledged(seq);
        let live = self.links.iter_mut().filter(|link| link.is_live(now));
        live.for_each(Link::gain);
    }

    fn lost(&mut self, seq: Seq) {
        self.missing.note(seq);
        if let Some(link) = self.links.iter_mut().find(|link| link.has_sent(seq)) {
            link.lost(seq);
        }
    }

    /// Nobody knows our id: ask for a group, once, and only if nothing works.
    fn no_group(&mut self, now: Instant, index: usize) {
        if self.asked.is_some() || self.links.iter().any(|link| link.is_live(now)) {
            return;
        }
        self.asked = Some((index, now + REGISTRATION_TIMEOUT));
        self.transmit(now, index, &packet::reg1(&self.id));
    }

    fn named(&mut self, now: Instant, index: usize, id: &[u8; ID_LEN]) {
        let was_asked = self.asked.is_some_and(|(asked, _)| asked == index);
        if was_asked && id[..ID_LEN / 2] == self.id[..ID_LEN / 2] {
            self.id = *id;
            self.asked = None;
            (0..self.links.len()).for_each(|index| self.register(now, index));
        }
    }

    fn refused(&mut self, index: usize) {
        self.asked = self.asked.filter(|(asked, _)| *asked != index);
    }

    fn register(&mut self, now: Instant, index: usize) {
        self.transmit(now, index, &packet::reg2(&self.id));
    }

    /// Looks after the links, each second.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.housekeeping_at {
            return;
        }
        self.housekeeping_at = now + HOUSEKEEPING_INTERVAL;
        self.asked = self.asked.filter(|(_, until)| now < *until);
        for index in 0..self.links.len() {
            self.look_after(now, index);
        }
    }

    fn look_after(&mut self, now: Instant, index: usize) {
        let link = &mut self.links[index];
        link.read_rate(now);
        if !link.is_live(now) {
            link.reset();
            // Whoever asked for a group waits for its id.
            if self.asked.is_none() {
                self.register(now, index);
            }
        } else if self.keepalives == KeepAlives::Extended || link.is_idle(now, IDLE_MAX) {
            self.keep_alive(now, index);
        }
    }

    fn keep_alive(&mut self, now: Instant, index: usize) {
        let time_ms = now.saturating_duration_since(self.start).as_millis() as u64;
        match self.keepalives {
            KeepAlives::Plain => self.transmit(now, index, &packet::keepalive()),
            KeepAlives::Timed => self.transmit(now, index, &packet::keepalive_at(time_ms)),
            KeepAlives::Extended => {
                let state = self.links[index].state(now);
                let info = ConnectionInfo {
                    connection_id: index as u32,
                    window: state.window,
                    in_flight: state.in_flight,
                    rtt_ms: state.rtt_ms.unwrap_or(0),
                    naks: state.naks,
                    bytes_per_second: state.bytes_per_second,
                };
                self.transmit(now, index, &packet::keepalive_with_info(time_ms, &info));
            }
        }
    }

    fn transmit(&mut self, now: Instant, link: usize, bytes: &[u8]) {
        self.links[link].said(now, bytes.len());
        self.transmits.push_back(Transmit {
            link,
            bytes: bytes.to_vec(),
        });
    }

    /// The next datagram for the receiver.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next datagram for the SRT caller.
    pub fn poll_local(&mut self) -> Option<Vec<u8>> {
        self.locals.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub const fn poll_timeout(&self) -> Instant {
        self.housekeeping_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_again_is_missing_once() {
        let mut missing = Missing::default();
        let first = Seq::new(7);
        missing.note(first);
        missing.note(first);
        missing.note(first.next());
        assert_eq!(missing.packets, 2);
        missing.clear_before(first.next());
        assert_eq!((missing.packets, missing.open.len()), (2, 1));
    }
}
