//! The relay: what it holds, and the calls that drive it.

use std::collections::BTreeMap;
use std::time::Instant;

use model::node::HeldLease;
use model::telemetry::SessionSample;
use model::{NodeId, SessionId, StreamId, UnixMillis};
use srt::listener::Listener;
use srt::packet::PAYLOAD_MAX;
use srtla::Registry;

use crate::banned::BannedAddresses;
use crate::buckets::Buckets;
use crate::connections::{Connections, Leg};
use crate::dials::Dials;
use crate::encryption::KeySource;
use crate::key_work::KeyDesk;
use crate::output::Output;
use crate::publisher::Publisher;
use crate::reason::GoneReason;
use crate::release::Release;
use crate::ring::ChunkBudget;
use crate::secrets::{Unshown, expand, join, split};
use crate::sessions::Sessions;
use crate::shard::Cargo;
use crate::slab::Slab;
use crate::stream::Stream;
use crate::timers::Timers;
use crate::traffic::Traffic;
use crate::wall_clock::WallClock;
use crate::{Command, CommandError, Config, Counters, Drained, Event, Handover, Ingress};

/// Connections whose timers are handled in one turn.
const TIMEOUTS_PER_TURN: usize = 256;

/// A relay node's data plane.
///
/// - Calls that change it: [`handle_datagram`](Self::handle_datagram),
///   [`handle_timeout`](Self::handle_timeout),
///   [`handle_command`](Self::handle_command),
///   [`handle_key_work`](Self::handle_key_work).
/// - After one or more of those: drain [`drain_transmits`](Self::drain_transmits),
///   [`poll_key_work`](Self::poll_key_work) and [`poll_event`](Self::poll_event),
///   then ask
///   [`poll_timeout`](Self::poll_timeout) when to call again.
/// - Getters may be called at any time.
#[derive(Debug)]
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) listener: Unshown<Listener>,
    pub(crate) sessions: Sessions,
    pub(crate) connections: Connections,
    pub(crate) dials: Dials,
    pub(crate) streams: Slab<Stream>,
    pub(crate) streams_by_id: BTreeMap<StreamId, u32>,
    pub(crate) timers: Timers,
    /// When buffered streams have something to send on.
    pub(crate) releases: Timers,
    /// When a hold or a lease ends next.
    pub(crate) upkeep_at: Option<Instant>,
    /// Players let in since the start.
    pub(crate) players_made: u64,
    pub(crate) buckets: Buckets,
    /// What the streams' rings may take.
    pub(crate) chunks: ChunkBudget,
    pub(crate) draining: bool,
    pub(crate) banned: BannedAddresses,
    pub(crate) clock: WallClock,
    pub(crate) started_at: Instant,
    pub(crate) stream_key: [u8; 16],
    pub(crate) group_key: Unshown<[u8; 32]>,
    pub(crate) key_desk: KeyDesk,
    pub(crate) key_source: KeySource,
    /// Where a payload is decrypted.
    pub(crate) clear: Box<[u8; PAYLOAD_MAX]>,
    pub(crate) output: Output,
}

impl Relay {
    /// Makes a relay that holds no session. `seed` must be secret and new for
    /// each start of a node, and the same for all its relays: cookies, socket
    /// ids and the place of a stream come from it.
    #[must_use]
    pub fn new(
        config: Config,
        seed: [u8; 32],
        keys: lease::KeySet,
        node_id: NodeId,
        now: Instant,
        wall: UnixMillis,
    ) -> Self {
        let [
            id_key,
            cookie_key,
            stream_key,
            inductions_key,
            requests_key,
            dial_key,
            low,
            high,
        ] = split(&seed);
        let group_key = join(low, high);
        let srtla = Registry::new(registry_config(&config), group_key, now);
        let limits = &config.limits;
        let shard = config.shard;
        Self {
            listener: Unshown(Listener::new(cookie_key)),
            sessions: Sessions::new(node_id, keys, limits.sessions_max, shard),
            connections: Connections::new(id_key, shard),
            dials: Dials::new(dial_key, shard),
            streams: Slab::new(),
            streams_by_id: BTreeMap::new(),
            timers: Timers::default(),
            releases: Timers::default(),
            upkeep_at: None,
            chunks: ChunkBudget::new(limits.rings_bytes_max / usize::from(shard.count())),
            players_made: 0,
            buckets: Buckets::new([inductions_key, requests_key], now, limits),
            draining: false,
            banned: BannedAddresses::default(),
            clock: WallClock::new(now, wall),
            started_at: now,
            stream_key,
            group_key: Unshown(group_key),
            key_desk: KeyDesk::default(),
            key_source: KeySource::new(expand(&seed), shard.index()),
            clear: Box::new([0; PAYLOAD_MAX]),
            output: Output::new(limits.transmit_bytes_max, srtla),
            config,
        }
    }

    /// Takes one datagram from the network.
    pub fn handle_datagram(&mut self, now: Instant, ingress: Ingress, datagram: &[u8]) {
        self.output.counters.ingress_datagrams += 1;
        self.output.counters.ingress_bytes += datagram.len() as u64;
        self.take(now, ingress, datagram, 0);
    }

    /// Takes what another relay of the node has for this one.
    pub fn handle_handover(&mut self, now: Instant, handover: Handover) {
        match handover.cargo {
            Cargo::Datagram {
                ingress,
                datagram,
                hops,
            } => self.take(now, ingress, &datagram, hops),
            Cargo::Group(moved) => self.take_group(now, *moved),
            Cargo::News(news) => self.take_news(now, news),
        }
    }

    /// Does what is due at `now`, as much of it as fits a turn: when
    /// [`poll_timeout`](Self::poll_timeout) is not later then, call again.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_TURN {
            let Some(key) = self.timers.pop_due(now) else {
                break;
            };
            self.handle_connection_timeout(now, key);
        }
        for _ in 0..TIMEOUTS_PER_TURN {
            let Some(key) = self.releases.pop_due(now) else {
                break;
            };
            self.handle_release(now, key);
        }
        self.handle_dial_timeouts(now);
        if self.upkeep_at.is_some_and(|at| at <= now) {
            self.upkeep(now);
        }
        if self.output.srtla.poll_timeout().is_some_and(|at| at <= now) {
            self.output.srtla.handle_timeout(now);
            self.handle_group_events(now);
        }
    }

    fn handle_release(&mut self, now: Instant, key: u32) {
        if let Some(stream) = self.streams.item_mut(key) {
            stream.release(now, &mut self.output);
            let at = stream.release.as_ref().and_then(Release::at);
            self.releases.set(key, at);
        }
    }

    fn handle_connection_timeout(&mut self, now: Instant, key: u32) {
        self.answer_silent(now, key);
        let Some(connection) = self.connections.connection(key) else {
            return;
        };
        let Some(stream) = self.streams.item_mut(connection.stream) else {
            return;
        };
        let next = match connection.leg {
            Leg::Publisher => stream.publisher.as_mut().map(|publisher| {
                let idle_max = self.config.publisher_timeout;
                publisher.handle_timeout(now, idle_max, &mut self.output)
            }),
            Leg::Player(place) => stream.player_and_source(place).map(|(player, source)| {
                let idle_max = self.config.player_timeout;
                player.handle_timeout(now, idle_max, source, &mut self.output)
            }),
        };
        match next.unwrap_or(Err(GoneReason::TimedOut)) {
            Ok(at) => self.timers.set(key, Some(at)),
            Err(reason) => self.close(now, key, reason),
        }
    }

    /// Carries out a directive of the control plane.
    ///
    /// # Errors
    /// When the node is full or draining. Of a [`Command::Resync`] everything that can be is carried out, and the first
    /// error returned.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        self.carry_out(now, command)
    }

    /// Every datagram to send now, in order; asked again, none of them.
    pub fn drain_transmits(&mut self) -> Drained<'_> {
        self.output.transmits.drain()
    }

    /// How many datagrams wait for the next [`drain_transmits`](Self::drain_transmits).
    #[must_use]
    pub fn queued_transmits(&self) -> usize {
        self.output.transmits.len()
    }

    /// The next thing for another relay of the node, which takes it by
    /// [`handle_handover`](Self::handle_handover).
    pub fn poll_handover(&mut self) -> Option<Handover> {
        self.output.handovers.pop_front()
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.timers.next(),
            self.releases.next(),
            self.dials.poll_timeout(),
            self.upkeep_at,
            self.output.srtla.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Every session that is held.
    #[must_use]
    pub fn held(&self) -> Vec<HeldLease> {
        self.sessions.ids().map(|id| self.hold(id)).collect()
    }

    fn hold(&self, id: &SessionId) -> HeldLease {
        let stream = self.publishing_stream(id);
        let publisher = stream.and_then(|stream| stream.publisher.as_ref());
        let mut traffic = self.sessions.traffic(id);
        if let Some(publisher) = publisher {
            traffic += Traffic::received(publisher.bytes());
        }
        let mut players = 0;
        for player in self.players_of(id) {
            players += 1;
            traffic += Traffic::sent(player.bytes());
        }
        HeldLease {
            session_id: id.clone(),
            publishing: publisher.is_some(),
            players,
            pulled: publisher.is_some_and(Publisher::is_pulled),
            ingress_bytes: traffic.ingress_bytes,
            egress_bytes: traffic.egress_bytes,
            publisher_rtt_us: publisher.and_then(Publisher::caller_rtt_us),
        }
    }

    /// The node's totals.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.output.counters
    }

    /// A sample of every session, for telemetry.
    #[must_use]
    pub fn samples(&mut self, now: Instant) -> Vec<SessionSample> {
        let ids: Vec<SessionId> = self.sessions.ids().cloned().collect();
        ids.into_iter().map(|id| self.sample(now, id)).collect()
    }

    fn sample(&mut self, now: Instant, id: SessionId) -> SessionSample {
        let players = self.players_of(&id).map(|player| player.sample(now));
        SessionSample {
            publishing: self.publishing_stream(&id).is_some(),
            publisher: self
                .stream_of(&id)
                .map(|stream| stream.publisher_sample(now)),
            players: players.collect(),
            links: self.link_samples(now, &id),
            session_id: id,
        }
    }

    /// Publishers connected.
    #[must_use]
    pub fn publishers(&self) -> u32 {
        self.streams
            .iter()
            .filter(|(_, stream)| stream.publisher.is_some())
            .count() as u32
    }

    /// Players connected.
    #[must_use]
    pub fn players(&self) -> u32 {
        self.streams
            .iter()
            .map(|(_, stream)| stream.players.len() as u32)
            .sum()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connections.len() == 0
    }
}

/// A relay has its share of the node's groups.
pub(crate) fn registry_config(config: &Config) -> srtla::Config {
    let groups_max = config.shard.share(config.srtla.groups_max as u32);
    srtla::Config {
        groups_max: groups_max as usize,
        ..config.srtla
    }
}
