//! Several nodes that call each other, with their publishers and players, in
//! virtual time. Every pair of addresses has a path of its own.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use srt::handshake::StreamId;
use srt::packet::{Control, KeyParity};
use srt::{Packet, SocketId};
use streamhaul_relay_core::{
    Assignment, Command, Config, Event, GoneReason, Ingress, LookupError, Relay, Remote,
    RemoteFailure, Shard,
};
use testkit::linksim::{Impairment, Link};

use crate::caller::{Caller, Spec};
use crate::leases::{WALL_START, grant, key_set, node_id};
use crate::player::Player;
use crate::publisher::{Publisher, number_of};

/// The same for all fleets, so that runs repeat.
const SEED: u64 = 4_711;

/// A node. All datagrams come to its first relay.
pub(crate) struct Node {
    pub(crate) relay: Relay,
    /// Its other relays.
    pub(crate) others: Vec<Relay>,
    pub(crate) addr: SocketAddr,
    pub(crate) events: Vec<Event>,
    /// Neither hears nor says anything while false.
    pub(crate) is_up: bool,
    /// Hosts it asked for, in order.
    pub(crate) lookups: Vec<String>,
    starts: u8,
}

struct Attached<T> {
    peer: T,
    node: SocketAddr,
}

/// Data packets as anybody on the path between the nodes sees them.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Those that say that they are encrypted.
    pub(crate) sealed: u64,
    /// Those that say that they are not.
    pub(crate) clear: u64,
    /// Those whose payload is one that a publisher sent.
    pub(crate) readable: u64,
    /// How often new packets came under another key.
    pub(crate) key_changes: u64,
    /// Where the last one went.
    pub(crate) last_socket: Option<SocketId>,
    key: Option<KeyParity>,
}

impl Wire {
    fn note(&mut self, datagram: &[u8]) {
        let Ok(Packet::Data { header, payload }) = Packet::parse(datagram) else {
            return;
        };
        self.last_socket = Some(header.destination);
        let is_clear = header.key == KeyParity::Clear;
        self.clear += u64::from(is_clear);
        self.sealed += u64::from(!is_clear);
        self.readable += u64::from(number_of(payload).is_some());
        if !header.retransmitted {
            let before = self.key.replace(header.key);
            self.key_changes += u64::from(before.is_some_and(|before| before != header.key));
        }
    }
}

/// Nodes, peers and paths.
pub(crate) struct Fleet {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    /// What lookups find; other hosts are not found.
    pub(crate) names: BTreeMap<String, Result<SocketAddr, LookupError>>,
    publishers: Vec<Attached<Publisher>>,
    players: Vec<Attached<Player>>,
    paths: BTreeMap<(SocketAddr, SocketAddr), Link<Vec<u8>>>,
    /// What was sent to nobody we know.
    pub(crate) strays: Vec<Vec<u8>>,
    /// Datagrams sent from node to node.
    pub(crate) between_nodes: u64,
    /// What they carried.
    pub(crate) wire: Wire,
    /// No key is derived while true.
    pub(crate) is_key_work_held: bool,
    config: Config,
    callers: u32,
}

/// The relays of a node that starts.
fn relays(config: &Config, now: Instant, seed: u8) -> (Relay, Vec<Relay>) {
    let count = config.shard.count();
    let mut relays = (0..count).map(|index| {
        let shard = Shard::new(index, count).expect("there is such a place");
        let config = Config {
            shard,
            ..config.clone()
        };
        Relay::new(config, [seed; 32], key_set(), node_id(), now, WALL_START)
    });
    (relays.next().expect("a first relay"), relays.collect())
}

impl Node {
    pub(crate) fn relays(&self) -> impl Iterator<Item = &Relay> {
        std::iter::once(&self.relay).chain(&self.others)
    }

    fn relays_mut(&mut self) -> impl Iterator<Item = &mut Relay> {
        std::iter::once(&mut self.relay).chain(&mut self.others)
    }

    /// Derives the keys that the relays wait for.
    fn do_key_work(&mut self, now: Instant) {
        for relay in self.relays_mut() {
            while let Some(work) = relay.poll_key_work() {
                relay.handle_key_work(now, work.run());
            }
        }
    }

    /// Lets the relays give each other what is not theirs.
    fn hand_over(&mut self, now: Instant) {
        let mut handovers = Vec::new();
        for relay in self.relays_mut() {
            handovers.extend(std::iter::from_fn(|| relay.poll_handover()));
        }
        for handover in handovers {
            let mut relays = self.relays_mut();
            let owner = relays.nth(handover.shard.into());
            owner.expect("a relay").handle_handover(now, handover);
        }
    }
}

impl Fleet {
    /// So many nodes, called `node0`, `node1` and so on.
    pub(crate) fn new(nodes: u8) -> Self {
        Self::with(nodes, Config::default())
    }

    /// The same, each configured so; its shard's count says how many relays a
    /// node has.
    pub(crate) fn with(nodes: u8, config: Config) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "tests need one instant to count from"
        )]
        let now = Instant::now();
        let addr = |number| SocketAddr::from(([198, 51, 100, number], 5000));
        let node = |number| {
            let (relay, others) = relays(&config, now, number);
            Node {
                relay,
                others,
                addr: addr(number),
                events: Vec::new(),
                is_up: true,
                lookups: Vec::new(),
                starts: 0,
            }
        };
        Self {
            now,
            nodes: (0..nodes).map(node).collect(),
            names: (0..nodes)
                .map(|number| (format!("node{number}"), Ok(addr(number))))
                .collect(),
            publishers: Vec::new(),
            players: Vec::new(),
            paths: BTreeMap::new(),
            strays: Vec::new(),
            between_nodes: 0,
            wire: Wire::default(),
            is_key_work_held: false,
            config,
            callers: 0,
        }
    }

    /// Gives the path between two nodes an impairment, both ways.
    pub(crate) fn impair(&mut self, a: usize, b: usize, impairment: &Impairment) {
        let (a, b) = (self.nodes[a].addr, self.nodes[b].addr);
        for (from, to) in [(a, b), (b, a)] {
            let link = path(&mut self.paths, from, to);
            link.set_impairment(impairment.clone());
        }
    }

    pub(crate) fn assign(&mut self, node: usize, assignment: impl Borrow<Assignment>) {
        self.command(node, Command::Assign(Box::new(grant(assignment.borrow()))));
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        let carried_out = "the command is carried out";
        for relay in &mut self.nodes[node].others {
            let result = relay.handle_command(self.now, command.clone());
            result.expect(carried_out);
        }
        let result = self.nodes[node].relay.handle_command(self.now, command);
        result.expect(carried_out);
        self.drain(node);
    }

    /// The node starts anew: it knows nothing, and nobody was told.
    pub(crate) fn restart(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.starts += 1;
        (node.relay, node.others) = relays(&self.config, self.now, 100 + node.starts);
    }

    fn caller(&mut self, spec: Spec) -> Caller {
        self.callers += 1;
        Caller::new(spec, 0x1000 + self.callers, self.now)
    }

    pub(crate) fn publisher(&mut self, node: usize, spec: Spec) -> usize {
        let peer = Publisher::new(self.caller(spec), 0);
        let node = self.nodes[node].addr;
        self.publishers.push(Attached { peer, node });
        self.publishers.len() - 1
    }

    pub(crate) fn player(&mut self, node: usize, spec: Spec) -> usize {
        let peer = Player::new(self.caller(spec));
        let node = self.nodes[node].addr;
        self.players.push(Attached { peer, node });
        self.players.len() - 1
    }

    pub(crate) fn published(&mut self, publisher: usize) -> &mut Publisher {
        &mut self.publishers[publisher].peer
    }

    pub(crate) fn played(&mut self, player: usize) -> &mut Player {
        &mut self.players[player].peer
    }

    /// Hands a node a datagram that seems to come from `from`.
    pub(crate) fn inject(&mut self, node: usize, from: SocketAddr, datagram: &[u8]) {
        let ingress = ingress(from);
        let relay = &mut self.nodes[node].relay;
        relay.handle_datagram(self.now, ingress, datagram);
        self.drain(node);
    }

    /// The socket that the last call to an address without a node came from.
    pub(crate) fn calling_socket(&self) -> SocketId {
        let request = self.strays.last().expect("a request to nobody");
        match Packet::parse(request).expect("a packet") {
            Packet::Control {
                body: Control::Handshake(handshake),
                ..
            } => handshake.socket_id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn failures(&self, node: usize) -> Vec<RemoteFailure> {
        let failure = |event: &Event| match event {
            Event::RemoteFailed { reason, .. } => Some(*reason),
            _ => None,
        };
        self.nodes[node].events.iter().filter_map(failure).collect()
    }

    pub(crate) fn publishers_gone(&self, node: usize) -> Vec<GoneReason> {
        let gone = |event: &Event| match event {
            Event::PublisherGone { reason, .. } => Some(*reason),
            _ => None,
        };
        self.nodes[node].events.iter().filter_map(gone).collect()
    }

    pub(crate) fn run_s(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.next_time().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.step();
        }
        self.now = end;
    }

    fn next_time(&self) -> Option<Instant> {
        let up = self.nodes.iter().filter(|node| node.is_up);
        let nodes = up.flat_map(Node::relays).filter_map(Relay::poll_timeout);
        let publishers = self.publishers.iter();
        let publishers = publishers.filter_map(|attached| attached.peer.poll_timeout());
        let players = self.players.iter();
        let players = players.filter_map(|attached| attached.peer.poll_timeout());
        let paths = self.paths.values().filter_map(Link::poll_timeout);
        nodes.chain(publishers).chain(players).chain(paths).min()
    }

    fn step(&mut self) {
        let now = self.now;
        for (from, to, datagram) in self.arrivals() {
            self.deliver(from, to, &datagram);
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].is_up {
                for relay in self.nodes[node].relays_mut() {
                    relay.handle_timeout(now);
                }
                self.drain(node);
            }
        }
        let mut outbox = Vec::new();
        for Attached { peer, node } in &mut self.publishers {
            peer.handle_timeout(now, &mut outbox);
            send_all(
                &mut self.paths,
                now,
                peer.caller.spec.addr,
                *node,
                &mut outbox,
            );
        }
        for Attached { peer, node } in &mut self.players {
            peer.handle_timeout(now, &mut outbox);
            send_all(
                &mut self.paths,
                now,
                peer.caller.spec.addr,
                *node,
                &mut outbox,
            );
        }
    }

    fn arrivals(&mut self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut arrivals = Vec::new();
        for ((from, to), link) in &mut self.paths {
            while let Some(datagram) = link.poll(self.now) {
                arrivals.push((*from, *to, datagram));
            }
        }
        arrivals
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let now = self.now;
        if let Some(node) = self.nodes.iter().position(|node| node.addr == to) {
            if self.nodes[node].is_up {
                self.inject(node, from, datagram);
            }
            return;
        }
        let publishers = self.publishers.iter().map(|attached| &attached.peer.caller);
        let players = self.players.iter().map(|attached| &attached.peer.caller);
        if !publishers
            .chain(players)
            .any(|caller| caller.spec.addr == to)
        {
            self.strays.push(datagram.to_vec());
        }
        let mut outbox = Vec::new();
        for Attached { peer, node } in &mut self.publishers {
            if peer.caller.spec.addr == to {
                peer.handle(now, datagram, &mut outbox);
                send_all(&mut self.paths, now, to, *node, &mut outbox);
            }
        }
        for Attached { peer, node } in &mut self.players {
            if peer.caller.spec.addr == to {
                peer.handle(now, datagram, &mut outbox);
                send_all(&mut self.paths, now, to, *node, &mut outbox);
            }
        }
    }

    fn drain(&mut self, node: usize) {
        let addrs: Vec<_> = self.nodes.iter().map(|node| node.addr).collect();
        let from = addrs[node];
        self.nodes[node].hand_over(self.now);
        if !self.is_key_work_held {
            self.nodes[node].do_key_work(self.now);
        }
        let mut events = Vec::new();
        for relay in self.nodes[node].relays_mut() {
            for transmit in relay.drain_transmits().iter() {
                let datagram = transmit.to_vec();
                if addrs.contains(&transmit.to) {
                    self.between_nodes += 1;
                    self.wire.note(&datagram);
                }
                path(&mut self.paths, from, transmit.to).send(self.now, datagram.len(), datagram);
            }
            events.extend(std::iter::from_fn(|| relay.poll_event()));
        }
        let found: Vec<_> = events
            .iter()
            .filter_map(|event| self.found(event))
            .collect();
        let lookups = events.iter().filter_map(|event| match event {
            Event::Lookup(lookup) => Some(lookup.host.clone()),
            _ => None,
        });
        self.nodes[node].lookups.extend(lookups);
        self.nodes[node].events.extend(events);
        for command in found {
            self.command(node, command);
        }
    }

    /// The answer to a lookup.
    fn found(&self, event: &Event) -> Option<Command> {
        let Event::Lookup(lookup) = event else {
            return None;
        };
        let address = self.names.get(&lookup.host).copied();
        Some(Command::Found {
            session: lookup.session.clone(),
            attempt: lookup.attempt,
            address: address.unwrap_or(Err(LookupError::NotFound)),
        })
    }
}

fn path(
    paths: &mut BTreeMap<(SocketAddr, SocketAddr), Link<Vec<u8>>>,
    from: SocketAddr,
    to: SocketAddr,
) -> &mut Link<Vec<u8>> {
    let seed = SEED + paths.len() as u64;
    let link = || Link::new(seed, Impairment::default());
    paths.entry((from, to)).or_insert_with(link)
}

fn send_all(
    paths: &mut BTreeMap<(SocketAddr, SocketAddr), Link<Vec<u8>>>,
    now: Instant,
    from: SocketAddr,
    to: SocketAddr,
    outbox: &mut Vec<Vec<u8>>,
) {
    for datagram in outbox.drain(..) {
        path(paths, from, to).send(now, datagram.len(), datagram);
    }
}

const fn ingress(from: SocketAddr) -> Ingress {
    Ingress {
        peer: from,
        local_ip: None,
        socket: 0,
    }
}

/// A node of the fleet, asked for a stream by its key.
pub(crate) fn remote(node: usize, stream_id: &str) -> Remote {
    Remote {
        host: format!("node{node}"),
        port: 5000,
        stream_id: StreamId::new(stream_id),
        latency: Duration::ZERO,
        secret: None,
    }
}
