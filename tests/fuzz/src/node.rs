//! A node of two relays, the hosts that it talks to, and what it promises them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_core::{Command, Config, Handover, Ingress, Limits, PortRole, Relay, Shard};
use srt::handshake::{
    Blocks, EXTENSION_CONFIG, EXTENSION_DGRAM, EXTENSION_HSREQ, Handshake, Kind, VERSION,
    VERSION_INDUCTION,
};
use srt::packet::{Control, ControlHeader, HEADER_LEN};
use srt::{Packet, Seq, SocketId, Timestamp};

use crate::world;

/// How many hosts there are.
pub(crate) const HOSTS: usize = 6;
const SHARDS: u16 = 2;
/// How often something is handed on at most, and what follows from it.
const ROUNDS_MAX: u32 = 8;
const TRANSMIT_BYTES_MAX: usize = 256 << 10;
const WAKES_PER_SECOND_MAX: u64 = 4000;
/// Longer than anybody is waited for.
const PATIENCE: Duration = Duration::from_secs(200);
/// A cookie is good in its minute and the next.
const COOKIE_MINUTES: u64 = 2;

/// Somebody at an address.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) ingress: Ingress,
    pub(crate) id: SocketId,
    pub(crate) isn: Seq,
    /// The next sequence number it sends.
    pub(crate) next: Seq,
    /// The node's socket for it.
    pub(crate) connection: Option<SocketId>,
    /// The cookies that it was given, and in which minute.
    cookies: Vec<(u64, u32)>,
    is_proven: bool,
    received: usize,
    sent: usize,
}

pub(crate) struct Node {
    pub(crate) relays: [Relay; SHARDS as usize],
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    started_at: Instant,
}

impl Node {
    pub(crate) fn new() -> Self {
        let now = crate::start();
        Self {
            relays: std::array::from_fn(|shard| make_relay(shard as u16, now)),
            now,
            hosts: (0..HOSTS).map(Host::new).collect(),
            started_at: now,
        }
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::after_start(self.now - self.started_at)
    }

    fn minute(&self) -> u64 {
        (self.now - self.started_at).as_secs() / 60
    }

    /// A handshake as `from` sends it.
    pub(crate) fn handshake(&self, from: usize, kind: Kind, cookie: u32, blocks: &[u8]) -> Vec<u8> {
        let (version, extension) = match kind {
            Kind::Induction => (VERSION_INDUCTION, EXTENSION_DGRAM),
            _ => (VERSION, EXTENSION_HSREQ | EXTENSION_CONFIG),
        };
        let host = &self.hosts[from];
        let handshake = Handshake {
            version,
            encryption: 0,
            extension,
            isn: host.isn,
            mtu: 1500,
            flow_window: 8192,
            kind,
            socket_id: host.id,
            cookie,
            peer_ip: [0; 16],
            blocks: Blocks(blocks),
        };
        let header = ControlHeader {
            timestamp: self.timestamp(),
            destination: SocketId::LISTENER,
        };
        let mut packet = vec![0; handshake.packet_len()];
        handshake.write(&mut packet, header);
        packet
    }

    /// A cookie that is good now, if the node gives one.
    pub(crate) fn cookie(&mut self, from: usize) -> u32 {
        if self.fresh_cookie(from).is_none() {
            let induction = self.handshake(from, Kind::Induction, 0, &[]);
            self.datagram(from, &induction);
        }
        self.fresh_cookie(from).unwrap_or(0)
    }

    fn fresh_cookie(&self, from: usize) -> Option<u32> {
        let (minute, cookie) = *self.hosts[from].cookies.last()?;
        (minute + COOKIE_MINUTES > self.minute()).then_some(cookie)
    }

    /// Carries out a directive on every relay; whether it can be is not the question.
    pub(crate) fn command(&mut self, command: &Command) {
        for relay in &mut self.relays {
            let _ = relay.handle_command(self.now, command.clone());
        }
        self.drain();
    }

    /// A datagram comes to the relay that its destination says; from the last
    /// two hosts, and without a destination, to any.
    pub(crate) fn datagram(&mut self, from: usize, datagram: &[u8]) {
        let ingress = self.hosts[from].ingress;
        if self.proves(from, datagram) {
            self.hosts[from].is_proven = true;
        }
        let before = self.hosts[from].sent;
        self.hosts[from].received += datagram.len();
        let destination = srt::packet::destination(datagram).unwrap_or(SocketId::LISTENER);
        let to = destination.0 as usize
            + from / 4
            + usize::from(destination == SocketId::LISTENER) * from;
        self.relays[to % self.relays.len()].handle_datagram(self.now, ingress, datagram);
        self.drain();
        let host = &self.hosts[from];
        let answered = host.sent - before;
        assert!(
            host.is_proven || answered <= datagram.len(),
            "amplification"
        );
    }

    /// Whether this is a conclusion with a cookie that its source was given.
    fn proves(&self, from: usize, datagram: &[u8]) -> bool {
        let Ok(Packet::Control {
            body: Control::Handshake(handshake),
            ..
        }) = Packet::parse(datagram)
        else {
            return false;
        };
        let mut cookies = self.hosts[from].cookies.iter();
        handshake.kind == Kind::Conclusion && cookies.any(|(_, cookie)| *cookie == handshake.cookie)
    }

    /// Lets time pass as the owner of a relay does.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut wakes = 0;
        while let Some(at) = self.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for relay in &mut self.relays {
                relay.handle_timeout(self.now);
            }
            self.drain();
            assert!(
                self.poll_timeout().is_none_or(|at| at > self.now),
                "a timer spins"
            );
            wakes += 1;
        }
        let wakes_max = 100 + (span.as_secs() + 1) * WAKES_PER_SECOND_MAX;
        assert!(wakes <= wakes_max, "{wakes} wakes in {span:?}");
        self.now = end;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.relays.iter().filter_map(Relay::poll_timeout).min()
    }

    /// Passes on what relays have for each other; false when that is nothing.
    fn hand_over(&mut self) -> bool {
        let relays = self.relays.iter_mut();
        let handovers: Vec<Handover> = relays
            .flat_map(|relay| std::iter::from_fn(|| relay.poll_handover()))
            .collect();
        let is_any = !handovers.is_empty();
        for handover in handovers {
            self.relays[usize::from(handover.shard)].handle_handover(self.now, handover);
        }
        is_any
    }

    /// Takes everything that the relays send, hand over and say.
    fn drain(&mut self) {
        let mut rounds = 0;
        while self.hand_over() {
            rounds += 1;
            assert!(rounds <= ROUNDS_MAX, "a datagram is handed to and fro");
        }
        let minute = self.minute();
        for relay in &mut self.relays {
            let mut turn = 0;
            for transmit in relay.drain_transmits().iter() {
                let contents = transmit.to_vec();
                turn += contents.len();
                let host = self
                    .hosts
                    .iter_mut()
                    .find(|host| host.ingress.peer == transmit.to);
                host.expect("only who is there is sent something")
                    .take(minute, &contents);
            }
            assert!(turn <= TRANSMIT_BYTES_MAX, "{turn} bytes in one turn");
            while relay.poll_event().is_some() {}
        }
        assert!(
            self.hosts
                .iter()
                .all(|host| host.is_proven || host.sent <= host.received)
        );
    }

    /// Looks at everything that there is to see.
    pub(crate) fn look(&mut self) {
        for relay in &mut self.relays {
            let (held, samples) = (relay.held(), relay.samples(self.now));
            assert!(held.len() >= samples.len());
            let players: usize = samples.iter().map(|sample| sample.players.len()).sum();
            assert_eq!(players, relay.players() as usize);
        }
    }

    /// Nobody says anything any more: everybody is forgotten.
    pub(crate) fn end(&mut self) {
        self.look();
        self.run(PATIENCE);
        assert!(
            self.relays.iter().all(Relay::is_idle),
            "somebody is kept for ever"
        );
        let left = self
            .relays
            .iter()
            .map(|relay| relay.publishers() + relay.players());
        assert_eq!(left.sum::<u32>(), 0);
    }
}

impl Host {
    fn new(place: usize) -> Self {
        let isn = Seq::new(0x7fff_ff00 + place as u32);
        Self {
            ingress: Ingress {
                peer: SocketAddr::from(([203, 0, 113, place as u8], 40_000)),
                local_ip: None,
                socket: 0,
            },
            id: SocketId(0x1000 + place as u32),
            isn,
            next: isn,
            connection: None,
            cookies: Vec::new(),
            is_proven: false,
            received: 0,
            sent: 0,
        }
    }

    fn take(&mut self, minute: u64, contents: &[u8]) {
        self.sent += contents.len();
        assert!(self.received > 0, "an answer to nothing");
        assert!(contents.len() >= HEADER_LEN);
        let packet = Packet::parse(contents).expect("a relay sends only packets");
        if let Packet::Control {
            body: Control::Handshake(handshake),
            ..
        } = packet
        {
            match handshake.kind {
                Kind::Induction => self.cookies.push((minute, handshake.cookie)),
                Kind::Conclusion => self.connection = Some(handshake.socket_id),
                _ => {}
            }
        }
    }
}

fn make_relay(shard: u16, now: Instant) -> Relay {
    let config = Config {
        sockets: vec![PortRole::Any, PortRole::Publish, PortRole::Play],
        shard: Shard::new(shard, SHARDS).expect("there is such a place"),
        limits: Limits {
            sessions_max: 3,
            connections_max: 5,
            players_per_stream_max: 2,
            ring_bytes_max: 256 << 10,
            transmit_bytes_max: TRANSMIT_BYTES_MAX,
            ..Limits::default()
        },
        ..Config::default()
    };
    let keys = world::keys(false);
    Relay::new(
        config,
        world::RELAY_SEED,
        keys,
        world::node_id(),
        now,
        world::WALL_START,
    )
}
