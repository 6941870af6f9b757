//! The relay: what it holds, and the calls that drive it.

use std::collections::BTreeMap;
use std::time::Instant;

use model::node::HeldLease;
use model::telemetry::SessionSample;
use model::{NodeId, SessionId, StreamId, UnixMillis};
use srt::listener::Listener;
use srt::packet::{Control, ControlHeader, DataHeader, KeyParity, PAYLOAD_MAX};
use srt::{Packet, SocketId};

use crate::connections::{Connections, Leg};
use crate::limits::{SourceLimiter, TokenBucket};
use crate::output::Output;
use crate::reason::{DropReason, GoneReason};
use crate::sessions::Sessions;
use crate::slab::Slab;
use crate::stream::Stream;
use crate::timers::Timers;
use crate::{Command, CommandError, Config, Counters, Event, Ingress, Transmit};

/// A relay node's data plane.
///
/// - Calls that change it: [`handle_datagram`](Self::handle_datagram),
///   [`handle_timeout`](Self::handle_timeout),
///   [`handle_command`](Self::handle_command).
/// - After one or more of those: drain [`drain_transmits`](Self::drain_transmits)
///   and [`poll_event`](Self::poll_event), then ask
///   [`poll_timeout`](Self::poll_timeout) when to call again.
/// - Getters may be called at any time.
#[derive(Debug)]
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) listener: Unshown<Listener>,
    pub(crate) sessions: Sessions,
    pub(crate) connections: Connections,
    pub(crate) streams: Slab<Stream>,
    pub(crate) streams_by_id: BTreeMap<StreamId, u32>,
    pub(crate) timers: Timers,
    /// When a hold or a lease ends next.
    pub(crate) upkeep_at: Option<Instant>,
    pub(crate) inductions: TokenBucket,
    pub(crate) sources: SourceLimiter,
    pub(crate) draining: bool,
    pub(crate) clock: WallClock,
    pub(crate) started_at: Instant,
    pub(crate) output: Output,
}

/// A secret's holder: `Debug` shows nothing of it.
pub(crate) struct Unshown<T>(pub(crate) T);

impl<T> std::fmt::Debug for Unshown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// The wall clock, carried on by the monotonic one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    read_at: Instant,
    reading: UnixMillis,
}

impl WallClock {
    pub(crate) const fn new(now: Instant, reading: UnixMillis) -> Self {
        Self {
            read_at: now,
            reading,
        }
    }

    pub(crate) fn at(&self, now: Instant) -> UnixMillis {
        self.reading
            .plus(now.saturating_duration_since(self.read_at))
    }

    /// When it will be `wall`; at once when it was.
    pub(crate) fn instant_of(&self, wall: UnixMillis) -> Instant {
        let ahead = wall.since(self.reading);
        self.read_at.checked_add(ahead).unwrap_or(self.read_at)
    }
}

impl Relay {
    /// Makes a relay that holds no session. `seed` must be secret and new for
    /// each start: cookies and socket ids come from it.
    #[must_use]
    pub fn new(
        config: Config,
        seed: [u8; 32],
        keys: lease::KeySet,
        node_id: NodeId,
        now: Instant,
        wall: UnixMillis,
    ) -> Self {
        let (id_key, cookie_key) = split(seed);
        let limits = &config.limits;
        Self {
            listener: Unshown(Listener::new(cookie_key)),
            sessions: Sessions::new(node_id, keys, limits.sessions_max),
            connections: Connections::new(id_key),
            streams: Slab::new(),
            streams_by_id: BTreeMap::new(),
            timers: Timers::default(),
            upkeep_at: None,
            inductions: TokenBucket::new(now, limits.inductions_per_second_max),
            sources: SourceLimiter::new(id_key, now, limits.handshakes_per_second_max),
            draining: false,
            clock: WallClock::new(now, wall),
            started_at: now,
            output: Output::new(limits.transmit_bytes_max),
            config,
        }
    }

    /// Takes one datagram from the network.
    pub fn handle_datagram(&mut self, now: Instant, ingress: Ingress, datagram: &[u8]) {
        self.output.counters.ingress_datagrams += 1;
        self.output.counters.ingress_bytes += datagram.len() as u64;
        if let Err(reason) = self.route(now, ingress, datagram) {
            self.output.drop_datagram(reason);
        }
    }

    fn route(&mut self, now: Instant, ingress: Ingress, datagram: &[u8]) -> Result<(), DropReason> {
        let destination = srt::packet::destination(datagram).ok_or(DropReason::Malformed)?;
        if destination == SocketId::LISTENER {
            return self.route_to_listener(now, ingress, datagram);
        }
        let (key, connection) = self
            .connections
            .find(destination)
            .ok_or(DropReason::UnknownSocket)?;
        if connection.caller.0 != ingress.peer {
            return Err(DropReason::WrongPeer);
        }
        let (leg, stream) = (connection.leg, connection.stream);
        let packet = Packet::parse(datagram).map_err(|_| DropReason::Malformed)?;
        match (leg, packet) {
            (Leg::Publisher, Packet::Data { header, payload }) => {
                self.handle_data(now, key, stream, &header, payload)
            }
            (Leg::Publisher, Packet::Control { header, body }) => {
                self.handle_publisher_control(now, key, stream, header, body)
            }
            (Leg::Player(place), Packet::Control { body, .. }) => {
                self.handle_player_control(now, key, (stream, place), body)
            }
            (Leg::Player(_), Packet::Data { .. }) => Err(DropReason::UnexpectedData),
        }
    }

    fn route_to_listener(
        &mut self,
        now: Instant,
        ingress: Ingress,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        match Packet::parse(datagram) {
            Ok(Packet::Control {
                header,
                body: Control::Handshake(handshake),
            }) => self.handle_handshake(now, ingress, header, &handshake),
            Ok(_) => Err(DropReason::NotHandshake),
            Err(_) => Err(DropReason::Malformed),
        }
    }

    fn handle_data(
        &mut self,
        now: Instant,
        key: u32,
        stream: u32,
        header: &DataHeader,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        if header.key != KeyParity::Clear {
            return Err(DropReason::Encrypted);
        }
        if payload.len() > PAYLOAD_MAX {
            return Err(DropReason::OutOfWindow);
        }
        let stream = self
            .streams
            .item_mut(stream)
            .ok_or(DropReason::UnknownSocket)?;
        stream.handle_data(now, header, payload, &mut self.output);
        self.publisher_heard(now, key);
        Ok(())
    }

    fn handle_publisher_control(
        &mut self,
        now: Instant,
        key: u32,
        stream: u32,
        header: ControlHeader,
        body: Control<'_>,
    ) -> Result<(), DropReason> {
        let stream = self
            .streams
            .item_mut(stream)
            .ok_or(DropReason::UnknownSocket)?;
        match body {
            Control::AckAck { number } => stream.handle_ackack(now, number, header.timestamp),
            Control::DropReq { range, .. } => {
                if let Some(publisher) = &mut stream.publisher {
                    publisher.handle_drop_request(range);
                }
            }
            Control::KeepAlive => {}
            Control::Shutdown => {
                self.close(now, key, GoneReason::Closed);
                return Ok(());
            }
            _ => return Err(DropReason::UnexpectedControl),
        }
        self.publisher_heard(now, key);
        Ok(())
    }

    fn publisher_heard(&mut self, now: Instant, key: u32) {
        let Some(connection) = self.connections.connection(key) else {
            return;
        };
        let Some(stream) = self.streams.item_mut(connection.stream) else {
            return;
        };
        if let Some(publisher) = &mut stream.publisher {
            publisher.heard(now);
            let at = publisher.poll_timeout(self.config.publisher_timeout);
            self.timers.set(key, Some(at));
        }
    }

    fn handle_player_control(
        &mut self,
        now: Instant,
        key: u32,
        (stream, place): (u32, u32),
        body: Control<'_>,
    ) -> Result<(), DropReason> {
        let stream = self
            .streams
            .item_mut(stream)
            .ok_or(DropReason::UnknownSocket)?;
        let (player, source) = stream
            .player_and_source(place)
            .ok_or(DropReason::UnknownSocket)?;
        match body {
            Control::Ack(ack) => player.handle_ack(now, source.timeline, &ack, &mut self.output),
            Control::Nak(nak) => player.handle_nak(now, source, &nak, &mut self.output),
            Control::KeepAlive => {}
            Control::Shutdown => {
                self.close(now, key, GoneReason::Closed);
                return Ok(());
            }
            _ => return Err(DropReason::UnexpectedControl),
        }
        player.heard(now);
        Ok(())
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            self.handle_connection_timeout(now, key);
        }
        if self.upkeep_at.is_some_and(|at| at <= now) {
            self.upkeep(now);
        }
    }

    fn handle_connection_timeout(&mut self, now: Instant, key: u32) {
        let Some(connection) = self.connections.connection(key) else {
            return;
        };
        let Some(stream) = self.streams.item_mut(connection.stream) else {
            return;
        };
        let next = match connection.leg {
            Leg::Publisher => stream.publisher.as_mut().and_then(|publisher| {
                let idle_max = self.config.publisher_timeout;
                let is_alive = publisher.handle_timeout(now, idle_max, &mut self.output);
                is_alive.then(|| publisher.poll_timeout(idle_max))
            }),
            Leg::Player(place) => stream
                .player_and_source(place)
                .and_then(|(player, source)| {
                    let (idle_max, timeline) = (self.config.player_timeout, source.timeline);
                    let is_alive = player.handle_timeout(now, idle_max, timeline, &mut self.output);
                    is_alive.then(|| player.poll_timeout(idle_max))
                }),
        };
        match next {
            Some(at) => self.timers.set(key, Some(at)),
            None => self.close(now, key, GoneReason::TimedOut),
        }
    }

    /// Carries out a directive of the control plane.
    ///
    /// # Errors
    /// When a lease does not verify, or the node is full or draining. Of a
    /// [`Command::Resync`] everything that can be is carried out, and the first
    /// error returned.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        let result = self.carry_out(now, command);
        self.upkeep(now);
        result
    }

    /// Every datagram to send now, in order; asked again, none of them.
    pub fn drain_transmits(&mut self) -> impl ExactSizeIterator<Item = Transmit<'_>> {
        self.output.transmits.drain()
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.upkeep_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Every session that is held.
    #[must_use]
    pub fn held(&self) -> Vec<HeldLease> {
        let held = |id: &SessionId| HeldLease {
            session_id: id.clone(),
            publishing: self.publishing_stream(id).is_some(),
            players: self.players_of(id).count() as u32,
        };
        self.sessions.ids().map(held).collect()
    }

    /// The node's totals.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.output.counters
    }

    /// A sample of every session, for telemetry.
    #[must_use]
    pub fn samples(&self, now: Instant) -> Vec<SessionSample> {
        let sample = |id: &SessionId| SessionSample {
            session_id: id.clone(),
            publishing: self.publishing_stream(id).is_some(),
            publisher: self
                .stream_of(id)
                .map(|stream| stream.publisher_sample(now)),
            players: self
                .players_of(id)
                .map(|player| player.sample(now))
                .collect(),
        };
        self.sessions.ids().map(sample).collect()
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

fn split(seed: [u8; 32]) -> ([u8; 16], [u8; 16]) {
    let (mut first, mut second) = ([0; 16], [0; 16]);
    first.copy_from_slice(&seed[..16]);
    second.copy_from_slice(&seed[16..]);
    (first, second)
}
