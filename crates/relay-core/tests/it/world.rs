//! A relay, its callers and the paths between them, in virtual time.

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use streamhaul_relay_core::{
    Assignment, Command, Config, Event, Ingress, KeyWork, KeyWorkDone, Relay, Saved, Shard,
};
use testkit::linksim::{Impairment, Link};
use testkit::srtla_sender::KeepAlives;

use crate::allocation::{allocated_bytes, allocations};
use crate::bond::Bond;
use crate::caller::{Caller, Spec, State};
use crate::leases::{WALL_START, assignment, grant, key_set, node_id};
use crate::player::Player;
use crate::publisher::Publisher;

/// Printed by every failing test's world; the same for all, so that runs repeat.
const SEED: u64 = 20_261;

#[derive(Debug)]
pub(crate) enum Role {
    Publisher(Box<Publisher>),
    Player(Box<Player>),
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) role: Role,
    /// The links of a publisher that bonds; it does not use `up` and `down` then.
    pub(crate) bond: Option<Bond>,
    pub(crate) up: Link<Vec<u8>>,
    pub(crate) down: Link<Vec<u8>>,
}

pub(crate) struct World {
    pub(crate) relay: Relay,
    /// The node's other relays; `relay` is the first.
    pub(crate) others: Vec<Relay>,
    /// Whether datagrams find their relay by their socket id. Else all come to
    /// the first, as where the kernel cannot steer.
    pub(crate) is_steered: bool,
    pub(crate) now: Instant,
    pub(crate) peers: Vec<Peer>,
    pub(crate) events: Vec<Event>,
    /// How often the relay asked to be woken.
    pub(crate) wakes: u64,
    /// How often the relay asked for memory while it worked.
    pub(crate) allocations: u64,
    /// How many bytes it asked for.
    pub(crate) bytes_allocated: u64,
    /// Whether key work waits in `key_work` instead of being done at once.
    pub(crate) is_key_work_held: bool,
    pub(crate) key_work: Vec<KeyWork>,
    /// Whether what the relay sends waits, as within one turn of its owner.
    pub(crate) is_turn_open: bool,
    /// What was sent to nobody we know.
    pub(crate) strays: Vec<Vec<u8>>,
    /// Decides the fates on all links added from now on.
    pub(crate) seed: u64,
    /// Changes the ids that SRTLA senders propose.
    pub(crate) half: u8,
    /// Whether the node's process is gone: what comes is lost.
    pub(crate) is_down: bool,
    started_at: Instant,
    config: Config,
    callers: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "tests need one instant to count from"
        )]
        let now = Instant::now();
        let make = |config| Relay::new(config, [9; 32], key_set(), node_id(), now, WALL_START);
        let all = config.clone();
        let count = config.shard.count();
        let others = (1..count).map(|index| {
            let shard = Shard::new(index, count).expect("there is such a place");
            make(Config {
                shard,
                ..config.clone()
            })
        });
        Self {
            others: others.collect(),
            relay: make(config),
            is_steered: true,
            now,
            peers: Vec::new(),
            events: Vec::new(),
            wakes: 0,
            allocations: 0,
            bytes_allocated: 0,
            is_key_work_held: false,
            key_work: Vec::new(),
            is_turn_open: false,
            strays: Vec::new(),
            seed: SEED,
            half: 1,
            is_down: false,
            started_at: now,
            config: all,
            callers: 0,
        }
    }

    /// What every relay of the node saves.
    pub(crate) fn save(&self) -> Vec<Saved> {
        let relays = std::iter::once(&self.relay).chain(&self.others);
        relays.map(|relay| relay.save(self.now)).collect()
    }

    /// The node's process ends, and another one begins that knows this. Its own
    /// secrets are others.
    pub(crate) fn restart(&mut self, saved: &[Saved]) {
        let wall = WALL_START.plus(self.now - self.started_at);
        for place in 0..=self.others.len() {
            let config = Config {
                shard: Shard::new(place as u16, self.others.len() as u16 + 1)
                    .expect("there is such a place"),
                ..self.config.clone()
            };
            let mut relay = Relay::new(config, [10; 32], key_set(), node_id(), self.now, wall);
            if let Some(saved) = saved.get(place) {
                relay.resume(self.now, saved);
            }
            match place {
                0 => self.relay = relay,
                other => self.others[other - 1] = relay,
            }
        }
        self.drain();
    }

    /// A world whose relay holds session 1.
    pub(crate) fn with_session() -> Self {
        let mut world = Self::new();
        world.assign(assignment(1));
        world
    }

    pub(crate) fn assign(&mut self, assignment: impl Borrow<Assignment>) {
        self.command(Command::Assign(Box::new(grant(assignment.borrow()))));
    }

    pub(crate) fn command(&mut self, command: Command) {
        for relay in &mut self.others {
            relay
                .handle_command(self.now, command.clone())
                .expect("the command is carried out");
        }
        self.relay
            .handle_command(self.now, command)
            .expect("the command is carried out");
        self.drain();
    }

    fn caller(&mut self, spec: Spec) -> Caller {
        self.callers += 1;
        Caller::new(spec, 0x1000 + self.callers, self.now)
    }

    fn add(&mut self, role: Role, impairment: &Impairment) -> usize {
        let seed = self.seed + 2 * self.peers.len() as u64;
        let up = Link::new(seed, impairment.clone());
        let down = Link::new(seed + 1, impairment.clone());
        self.peers.push(Peer {
            role,
            bond: None,
            up,
            down,
        });
        self.peers.len() - 1
    }

    /// Adds a publisher whose payloads count from `first_number`.
    pub(crate) fn publisher(
        &mut self,
        spec: Spec,
        first_number: u64,
        impairment: &Impairment,
    ) -> usize {
        let publisher = Publisher::new(self.caller(spec), first_number);
        self.add(Role::Publisher(Box::new(publisher)), impairment)
    }

    /// Adds a publisher behind an SRTLA sender with these links, and lets them
    /// register.
    pub(crate) fn bonded(&mut self, spec: Spec, first_number: u64, links: &[Impairment]) -> usize {
        let peer = self.bonding(spec, first_number, links);
        self.run_ms(2500);
        peer
    }

    /// The same, before they have.
    pub(crate) fn bonding(&mut self, spec: Spec, first_number: u64, links: &[Impairment]) -> usize {
        let (host, now) = (self.peers.len() as u8, self.now);
        let seed = self.seed + 10_000 * u64::from(host);
        // The words by which the kernel steers are not all of one relay.
        let half = host.wrapping_mul(37) ^ self.half;
        let bond = Bond::new(host, half, links, KeepAlives::Extended, seed, now);
        let peer = self.publisher(spec, first_number, &Impairment::default());
        self.peers[peer].bond = Some(bond);
        peer
    }

    pub(crate) fn bond(&mut self, peer: usize) -> &mut Bond {
        self.peers[peer].bond.as_mut().expect("the peer bonds")
    }

    /// Another encoder behind the same links; nobody hears of the first one again.
    pub(crate) fn replace_encoder(&mut self, peer: usize, spec: Spec, first_number: u64) {
        let publisher = Publisher::new(self.caller(spec), first_number);
        self.peers[peer].role = Role::Publisher(Box::new(publisher));
    }

    pub(crate) fn player(&mut self, spec: Spec, impairment: &Impairment) -> usize {
        let player = Player::new(self.caller(spec));
        self.add(Role::Player(Box::new(player)), impairment)
    }

    pub(crate) fn published(&mut self, peer: usize) -> &mut Publisher {
        match &mut self.peers[peer].role {
            Role::Publisher(publisher) => publisher,
            Role::Player(_) => panic!("peer {peer} is a player"),
        }
    }

    pub(crate) fn played(&mut self, peer: usize) -> &mut Player {
        match &mut self.peers[peer].role {
            Role::Player(player) => player,
            Role::Publisher(_) => panic!("peer {peer} is a publisher"),
        }
    }

    pub(crate) fn state(&self, peer: usize) -> State {
        match &self.peers[peer].role {
            Role::Publisher(publisher) => publisher.caller.state,
            Role::Player(player) => player.caller.state,
        }
    }

    /// Hands the relay a datagram from `host`, past all links.
    pub(crate) fn inject(&mut self, ingress: Ingress, datagram: &[u8]) {
        let now = self.now;
        self.counted(|relay| relay.handle_datagram(now, ingress, datagram));
        self.drain();
    }

    pub(crate) fn ingress(&self, peer: usize) -> Ingress {
        let spec = self.peers[peer].spec();
        Ingress {
            peer: spec.addr,
            local_ip: None,
            socket: spec.socket,
        }
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
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
        let peers = self.peers.iter().filter_map(Peer::poll_timeout);
        let relays = std::iter::once(&self.relay).chain(&self.others);
        peers.chain(relays.filter_map(Relay::poll_timeout)).min()
    }

    fn step(&mut self) {
        let now = self.now;
        if self.relay.poll_timeout().is_some_and(|at| at <= now) {
            self.counted(|relay| relay.handle_timeout(now));
            self.wakes += 1;
            self.drain();
        }
        for place in 0..self.others.len() {
            self.others[place].handle_timeout(now);
            self.drain();
        }
        for place in 0..self.peers.len() {
            let ingress = self.ingress(place);
            while let Some(datagram) = self.peers[place].up.poll(now) {
                self.arrive(ingress, &datagram);
            }
            while let Some((peer, datagram)) = self.peers[place].poll_link(now) {
                self.arrive(Ingress { peer, ..ingress }, &datagram);
            }
            self.peers[place].step(now);
        }
    }

    /// A datagram reaches the node.
    fn arrive(&mut self, ingress: Ingress, datagram: &[u8]) {
        let now = self.now;
        if self.is_down {
            return;
        }
        match self.steer(datagram) {
            0 => self.counted(|relay| relay.handle_datagram(now, ingress, datagram)),
            other => self.others[other - 1].handle_datagram(now, ingress, datagram),
        }
        self.drain();
    }

    fn counted(&mut self, work: impl FnOnce(&mut Relay)) {
        let before = (allocations(), allocated_bytes());
        work(&mut self.relay);
        self.allocations += allocations() - before.0;
        self.bytes_allocated += allocated_bytes() - before.1;
    }

    /// As the kernel's program does: destination modulo count, else the first.
    fn steer(&self, datagram: &[u8]) -> usize {
        let destination = datagram.get(12..16).filter(|_| self.is_steered);
        let destination = destination.map_or([0; 4], |bytes| bytes.try_into().expect("four"));
        u32::from_be_bytes(destination) as usize % (self.others.len() + 1)
    }

    fn drain(&mut self) {
        if self.is_turn_open {
            return;
        }
        self.hand_over();
        for place in 0..self.others.len() {
            std::mem::swap(&mut self.relay, &mut self.others[place]);
            self.drain_first();
            std::mem::swap(&mut self.relay, &mut self.others[place]);
        }
        self.drain_first();
    }

    fn hand_over(&mut self) {
        loop {
            let mut handovers = Vec::new();
            for relay in std::iter::once(&mut self.relay).chain(&mut self.others) {
                handovers.extend(std::iter::from_fn(|| relay.poll_handover()));
            }
            if handovers.is_empty() {
                return;
            }
            for handover in handovers {
                match usize::from(handover.shard) {
                    0 => self.relay.handle_handover(self.now, handover),
                    other => self.others[other - 1].handle_handover(self.now, handover),
                }
            }
        }
    }

    /// Hands the first relay what it had somebody find out.
    pub(crate) fn finish(&mut self, done: KeyWorkDone) {
        self.relay.handle_key_work(self.now, done);
        self.drain();
    }

    fn do_key_work(&mut self) {
        while let Some(work) = self.relay.poll_key_work() {
            if self.is_key_work_held {
                self.key_work.push(work);
            } else {
                self.relay.handle_key_work(self.now, work.run());
            }
        }
    }

    fn drain_first(&mut self) {
        self.do_key_work();
        for transmit in self.relay.drain_transmits().iter() {
            let contents = transmit.to_vec();
            let to = transmit.to;
            match self.peers.iter_mut().find_map(|peer| peer.down_to(to)) {
                Some(down) => {
                    down.send(self.now, contents.len(), contents);
                }
                None => self.strays.push(contents),
            }
        }
        while let Some(event) = self.relay.poll_event() {
            self.events.push(event);
        }
    }
}

impl Peer {
    pub(crate) fn spec(&self) -> &Spec {
        match &self.role {
            Role::Publisher(publisher) => &publisher.caller.spec,
            Role::Player(player) => &player.caller.spec,
        }
    }

    /// The next datagram that comes out of a link, and where it comes from.
    fn poll_link(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let links = self.bond.as_mut()?.links.iter_mut();
        let mut arrived = links.filter_map(|link| Some((link.addr, link.up.poll(now)?)));
        arrived.next()
    }

    /// The way down to this address, if it is the peer's.
    fn down_to(&mut self, to: SocketAddr) -> Option<&mut Link<Vec<u8>>> {
        let own = self.spec().addr;
        match &mut self.bond {
            Some(bond) => bond.link_mut(to).map(|link| &mut link.down),
            None => (own == to).then_some(&mut self.down),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.role {
            Role::Publisher(publisher) => publisher.poll_timeout(),
            Role::Player(player) => player.poll_timeout(),
        };
        let bond = self.bond.as_ref().and_then(Bond::poll_timeout);
        [own, bond, self.up.poll_timeout(), self.down.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn step(&mut self, now: Instant) {
        let mut outbox = Vec::new();
        let bonded = self.bond.as_mut().map(|bond| bond.receive(now));
        let mut inbox = bonded.unwrap_or_default();
        inbox.extend(std::iter::from_fn(|| self.down.poll(now)));
        for datagram in inbox {
            match &mut self.role {
                Role::Publisher(publisher) => publisher.handle(now, &datagram, &mut outbox),
                Role::Player(player) => player.handle(now, &datagram, &mut outbox),
            }
        }
        match &mut self.role {
            Role::Publisher(publisher) => publisher.handle_timeout(now, &mut outbox),
            Role::Player(player) => player.handle_timeout(now, &mut outbox),
        }
        if let Some(bond) = &mut self.bond {
            bond.send(now, outbox);
            return;
        }
        for datagram in outbox {
            self.up.send(now, datagram.len(), datagram);
        }
    }
}
