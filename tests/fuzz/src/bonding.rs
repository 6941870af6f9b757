//! SRTLA: any datagram, and any senders at a registry of groups.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use srt::packet::DataHeader;
use srt::receiver::Arrival;
use srt::{Seq, SeqRange, SocketId, Timestamp};
use srtla::packet::{
    self, Class, ConnectionInfo, ID_LEN, KeepAlive, Packet, REPLY_LEN_MAX, classify,
};
use srtla::{Config, Event, Handled, LinkKey, Path, Registry};

use crate::input::Input;

/// Any datagram as one of SRTLA's: it is refused, or what is built of it reads
/// the same.
pub fn srtla_packet(bytes: &[u8]) {
    let class = classify(bytes);
    let Ok(packet) = Packet::parse(bytes) else {
        return;
    };
    assert_eq!(class, Class::Srtla);
    match packet {
        Packet::KeepAlive(keepalive) => check_keepalive(bytes, keepalive),
        Packet::Ack(list) => {
            let words = bytes[4..].chunks(4).map(|word| word[3]);
            let seqs = list.seqs().map(|seq| seq.value() as u8);
            assert!(seqs.eq(words));
        }
        Packet::Reg1(id) => assert_eq!(packet::reg1(id), bytes),
        Packet::Reg2(id) => assert_eq!(packet::reg2(id), bytes),
        Packet::Reg3 | Packet::RegErr | Packet::RegNgp | Packet::RegNak => {}
    }
}

fn check_keepalive(bytes: &[u8], keepalive: KeepAlive<'_>) {
    assert_eq!(keepalive.bytes(), bytes);
    if let (Some(time_ms), Some(info)) = (keepalive.time_ms(), keepalive.info()) {
        let rebuilt = packet::keepalive_with_info(time_ms, &info);
        assert_eq!(rebuilt, bytes[..rebuilt.len()]);
    }
    let mut out = [0xff; REPLY_LEN_MAX];
    let length = packet::keepalive_echo(&mut out, keepalive);
    assert!(length <= bytes.len().max(packet::PADDED_LEN));
    assert_eq!(out[..bytes.len()], *bytes);
    assert!(matches!(
        Packet::parse(&out[..length]),
        Ok(Packet::KeepAlive(_))
    ));
}

const MODEMS: usize = 8;
const GROUPS_MAX: usize = 3;
const LINKS_MAX: usize = 3;
/// The most that one choice lets pass: longer than any timeout.
const PAUSE_MAX_MS: u64 = 40_000;

/// What modems send and what the owner of the sessions says. No reply is longer
/// than it may be, groups and links are bounded and found, and whoever is silent
/// is forgotten.
pub fn srtla(bytes: &[u8]) {
    let mut node = Node::new();
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        node.step(&mut input);
        node.check();
    }
    node.pass(Duration::from_millis(PAUSE_MAX_MS));
    node.pass(Duration::from_millis(PAUSE_MAX_MS));
    node.check();
    assert_eq!((node.registry.groups(), node.registry.links()), (0, 0));
    assert_eq!((node.opened, node.joined), (node.closed, node.left));
}

struct Node {
    registry: Registry,
    now: Instant,
    /// The last id that the registry gave away.
    id: [u8; ID_LEN],
    opened: u64,
    closed: u64,
    joined: u64,
    left: u64,
}

impl Node {
    fn new() -> Self {
        let now = crate::start();
        let config = Config {
            groups_max: GROUPS_MAX,
            links_max: LINKS_MAX,
            idle_groups_per_source_max: 2,
            elsewhere_max: 0,
            ..Config::default()
        };
        Self {
            registry: Registry::new(config, [7; 32], now),
            now,
            id: [0; ID_LEN],
            opened: 0,
            closed: 0,
            joined: 0,
            left: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.below(12);
        let modem = input.below(MODEMS);
        match choice {
            0 => self.send(modem, input.short_bytes()),
            1 => {
                let mut id = [0; ID_LEN];
                id[0] = input.u8();
                self.send(modem, &packet::reg1(&id));
            }
            2 => self.send(modem, &packet::reg2(&self.id.clone())),
            3 => {
                let mut id = self.id;
                id[input.below(ID_LEN)] ^= input.u8();
                self.send(modem, &packet::reg2(&id));
            }
            4 => self.send(modem, &keepalive(input)),
            5 => {
                let length = usize::from(input.u16());
                self.registry.handle_srt(self.now, path(modem), length);
            }
            11 => self.pass(Duration::from_millis(u64::from(input.u16()) % PAUSE_MAX_MS)),
            _ => {
                if let Some(link) = self.registry.find(path(modem).peer) {
                    self.tell(choice, link, input);
                }
            }
        }
    }

    /// What the owner of a link's session says.
    fn tell(&mut self, choice: usize, link: LinkKey, input: &mut Input<'_>) {
        let (now, registry) = (self.now, &mut self.registry);
        match choice {
            6 => {
                for _ in 0..=input.below(24) {
                    let seq = Seq::new(input.u32());
                    let header = DataHeader::live(seq, 1, Timestamp(input.u32()), SocketId(9));
                    let arrival = arrival(input, seq);
                    registry.handle_data(now, link, &header, arrival);
                }
            }
            7 => {
                let first = Seq::new(input.u32());
                let last = first.add(input.u32_below(64));
                if let Some(range) = SeqRange::new(first, last) {
                    registry.handle_lost(now, link.group, range);
                }
            }
            8 => registry.session_started(now, link.group),
            9 => registry.session_ended(link.group),
            _ => match input.below(3) {
                0 => registry.close(link.group),
                guess => registry.refuse(now, link, guess == 1),
            },
        }
    }

    fn send(&mut self, modem: usize, datagram: &[u8]) {
        let mut out = [0; REPLY_LEN_MAX];
        let handled = self
            .registry
            .handle_control(self.now, path(modem), datagram, &mut out);
        match handled {
            Ok(Handled::Reply(length)) => {
                assert!(length <= datagram.len().max(packet::PADDED_LEN));
                assert_eq!(classify(&out[..length]), Class::Srtla);
                if let Ok(Packet::Reg2(id)) = Packet::parse(&out[..length]) {
                    self.id = *id;
                }
            }
            Ok(Handled::Elsewhere(shard)) => panic!("there is no shard {shard}"),
            Err(_) => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.registry.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.registry.handle_timeout(self.now);
            let next = self.registry.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "it spins");
        }
        self.now = end;
    }

    fn check(&mut self) {
        while let Some(event) = self.registry.poll_event() {
            match event {
                Event::GroupOpened { .. } => self.opened += 1,
                Event::GroupClosed { .. } => self.closed += 1,
                Event::LinkJoined { .. } => self.joined += 1,
                Event::LinkLeft { .. } => self.left += 1,
                Event::StrangerHeard { .. } | Event::SourceFailed { .. } => {}
            }
        }
        let registry = &mut self.registry;
        assert!(registry.groups() <= GROUPS_MAX);
        assert_eq!(self.opened - self.closed, registry.groups() as u64);
        assert_eq!(self.joined - self.left, registry.links() as u64);
        let found: Vec<LinkKey> = (0..MODEMS)
            .filter_map(|modem| registry.find(path(modem).peer))
            .collect();
        assert_eq!(found.len(), registry.links());
        for link in found {
            assert!((1..=LINKS_MAX).contains(&registry.broadcast(link.group).count()));
            assert!(registry.reply_path(self.now, link.group).is_some());
            assert!(registry.samples(self.now, link.group).len() <= LINKS_MAX);
        }
    }
}

/// Half of the modems share an address.
fn path(modem: usize) -> Path {
    let host = if modem < MODEMS / 2 { 1 } else { modem as u8 };
    Path {
        peer: SocketAddr::from(([203, 0, 113, host], 5000 + modem as u16)),
        local_ip: None,
        socket: 0,
    }
}

fn keepalive(input: &mut Input<'_>) -> Vec<u8> {
    let time_ms = u64::from(input.u32());
    match input.below(3) {
        0 => packet::keepalive().to_vec(),
        1 => packet::keepalive_at(time_ms).to_vec(),
        _ => {
            let info = ConnectionInfo {
                connection_id: input.u32(),
                window: input.u32().cast_signed(),
                in_flight: input.u32().cast_signed(),
                rtt_ms: input.u32(),
                naks: input.u32(),
                bytes_per_second: input.u32(),
            };
            packet::keepalive_with_info(time_ms, &info).to_vec()
        }
    }
}

fn arrival(input: &mut Input<'_>, seq: Seq) -> Arrival {
    let index = u64::from(seq.value());
    match input.below(5) {
        0 => Arrival::New { index },
        1 => Arrival::Recovered { index },
        2 => Arrival::Resync { index },
        3 => Arrival::Duplicate,
        _ => Arrival::OutOfWindow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_deep() {
        let mut node = Node::new();
        // A group, three links, a session and ten packets of it.
        let mut script = vec![1, 0, 5, 2, 0, 2, 1, 2, 5, 8, 0];
        script.extend([6, 0, 9]);
        script.extend([0; 10 * 9]);
        let mut input = Input::new(&script);
        while !input.is_empty() {
            node.step(&mut input);
            node.check();
        }
        assert_eq!((node.registry.groups(), node.registry.links()), (1, 3));
        assert_eq!(node.registry.counters().acks, 1);
    }
}
