//! Handshakes: who is answered, who is let in, who is refused and why.

use std::time::{Duration, Instant};

use lease::Claims;
use model::session::Role;
use model::settings::{Resume, Start};
use model::{Passphrase, StreamId};
use srt::Timestamp;
use srt::crypto::{KeyMaterial, ReceiveKeys};
use srt::handshake::{Handshake, Kind, Latency};
use srt::listener::{ConnectRequest, DropReason as HandshakeDrop, Step};
use srt::packet::ControlHeader;
use srt::streamid::StreamIdText;

use crate::bonding::Origin;
use crate::connections::{Connection, Leg, OwnLease};
use crate::encryption::{NoKeys, keys_for};
use crate::key_work::{KeyWorkDone, Purpose};
use crate::player::NewPlayer;
use crate::publisher::NewPublisher;
use crate::quota::Meter;
use crate::reason::{DropReason, GoneReason, RefusalReason};
use crate::relay::Relay;
use crate::ring::Ring;
use crate::sessions::{Permit, Refused, end_of};
use crate::settings::StreamSettings;
use crate::stream::Stream;
use crate::{Event, Ingress};

/// What became of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It is dealt with.
    Here,
    /// Its stream is another relay's.
    Belongs(u16),
}

/// Why a caller is not let in here.
enum NotHere {
    Refused(Refused),
    Wrapped(Passphrase, KeyMaterial),
    Belongs(u16),
}

impl From<Refused> for NotHere {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Relay {
    pub(crate) fn handle_handshake(
        &mut self,
        now: Instant,
        origin: &Origin,
        header: ControlHeader,
        handshake: &Handshake<'_>,
    ) -> Result<Handled, DropReason> {
        let path = origin.path;
        if usize::from(path.socket) >= self.config.sockets.len() {
            return Err(DropReason::UnknownPort);
        }
        if handshake.kind == Kind::Induction && !self.may_answer_induction(now, path) {
            return Err(DropReason::HandshakeRate);
        }
        let minute = now.saturating_duration_since(self.started_at).as_secs() / 60;
        match self
            .listener
            .0
            .handle(minute, origin.address, handshake, header.timestamp)
        {
            Step::Reply(reply) => self.output.send(path, &reply),
            Step::Request(request) => return self.handle_request(now, origin, &request),
            Step::Reject(_, reply) => {
                self.limit_source(now, path)?;
                self.output.refuse(None, RefusalReason::Unsupported);
                self.output.send(path, &reply);
                self.refuse_group(now, origin, RefusalReason::Unsupported);
            }
            Step::Drop(HandshakeDrop::BadCookie) => return Err(DropReason::BadCookie),
            Step::Drop(_) => return Err(DropReason::BadHandshake),
        }
        Ok(Handled::Here)
    }

    /// Its source first: one that asks too often uses up nothing of the node's.
    pub(crate) fn may_answer_induction(&mut self, now: Instant, ingress: Ingress) -> bool {
        self.buckets.inductions_by_source.allows(now, ingress.peer)
            && self.buckets.inductions.take(now, 1)
    }

    fn limit_source(&mut self, now: Instant, ingress: Ingress) -> Result<(), DropReason> {
        if self.buckets.requests_by_source.allows(now, ingress.peer) {
            Ok(())
        } else {
            Err(DropReason::HandshakeRate)
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
    ) -> Result<Handled, DropReason> {
        self.limit_source(now, origin.path)?;
        let caller = (origin.address, request.caller_id);
        if self.key_desk.is_joining(now, caller, request.isn) {
            return Err(DropReason::KeyWorkPending);
        }
        self.decide(now, origin, request, None)
    }

    /// Answers a request again, lets it in, refuses it, or first has its keys
    /// unwrapped: then `done` is what came of it.
    pub(crate) fn decide(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
        done: Option<&KeyWorkDone>,
    ) -> Result<Handled, DropReason> {
        let caller = (origin.address, request.caller_id);
        let known = self.connections.find_caller(caller);
        if let Some(key) = known.filter(|key| self.connections.is_same(*key, request.isn)) {
            self.answer_again(now, origin.path, key);
            return Ok(Handled::Here);
        }
        if self.connections.has_ended(caller, request.isn) {
            return Err(DropReason::StaleHandshake);
        }
        match self.admit(now, origin, request, done) {
            Ok(()) => {}
            Err(NotHere::Belongs(shard)) => return Ok(Handled::Belongs(shard)),
            Err(NotHere::Wrapped(passphrase, message)) => {
                let purpose = Purpose::Join(*origin, Box::new(request.clone()));
                self.key_desk.ask(now, purpose, passphrase, message)?;
            }
            Err(NotHere::Refused(Refused { reason, session })) => {
                self.output.refuse(session, reason);
                let reply = request.reject(reason.code(), Timestamp(0));
                self.output.send(origin.path, &reply);
                self.refuse_group(now, origin, reason);
            }
        }
        Ok(Handled::Here)
    }

    /// A repeated conclusion gets the first one's answer, stamped with its own
    /// time: the caller's clock of the connection starts with it.
    fn answer_again(&mut self, now: Instant, ingress: Ingress, key: u32) {
        let Some(timestamp) = self.leg_timestamp(now, key) else {
            return;
        };
        let connection = self.connections.connection_mut(key);
        if let Some(reply) = connection.and_then(|connection| connection.reply.as_mut()) {
            reply.restamp(timestamp);
            self.output.send(ingress, reply);
        }
    }

    fn leg_timestamp(&self, now: Instant, key: u32) -> Option<Timestamp> {
        let connection = self.connections.connection(key)?;
        let stream = self.streams.item(connection.stream)?;
        match connection.leg {
            Leg::Publisher => stream.publisher.as_ref().map(|p| p.timestamp(now)),
            Leg::Player(place) => {
                let player = stream.players.get(place as usize)?;
                Some(
                    player
                        .sender
                        .control_header(stream.timeline.now(now))
                        .timestamp,
                )
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
        done: Option<&KeyWorkDone>,
    ) -> Result<(), NotHere> {
        let permit = self.permit(now, origin.path, request)?;
        let owner = self.owner_of(&permit.claims.stream);
        if owner != self.config.shard.index() {
            return Err(NotHere::Belongs(owner));
        }
        let admitted = match permit.claims.role {
            Role::Publish => self.admit_publisher(now, origin, request, &permit, done),
            Role::Play => self.admit_player(now, origin, request, &permit, done),
        };
        let session = Some(permit.claims.session);
        admitted.map_err(|no_keys| match no_keys {
            NoKeys::Refused(reason) => Refused { reason, session }.into(),
            NoKeys::Wrapped(passphrase, message) => NotHere::Wrapped(passphrase, message),
        })
    }

    /// Which of the node's relays a stream belongs to.
    fn owner_of(&self, stream: &StreamId) -> u16 {
        self.config.shard.of_stream(self.stream_key, stream)
    }

    pub(crate) fn owns(&self, stream: &StreamId) -> bool {
        self.owner_of(stream) == self.config.shard.index()
    }

    fn permit(
        &mut self,
        now: Instant,
        ingress: Ingress,
        request: &ConnectRequest,
    ) -> Result<Permit, Refused> {
        let unreadable = Refused::unknown(RefusalReason::BadStreamId);
        let Some(stream_id) = &request.stream_id else {
            return Err(unreadable);
        };
        let text = StreamIdText::parse(stream_id.as_str()).map_err(|_| unreadable)?;
        if text.is_lease() && !self.buckets.lease_checks.take(now, 1) {
            return Err(Refused::unknown(RefusalReason::Busy));
        }
        let port = self.config.sockets[usize::from(ingress.socket)];
        self.sessions.permit(text, port, self.clock.at(now))
    }

    fn admit_publisher(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
        permit: &Permit,
        done: Option<&KeyWorkDone>,
    ) -> Result<(), NoKeys> {
        let replaced = self.publisher_to_replace(permit)?;
        if self.find_stream(&permit.claims.stream).is_none() {
            self.check_room(origin.path)?;
        }
        let latency = self.latency(request.latency.send_ms, Duration::ZERO, permit)?;
        let meter = self.meter(&permit.claims)?;
        let keys = keys_for(permit, request, done)?;
        let settings = self.make_way(now, permit, replaced);
        if origin.link.is_some() {
            // A group carries one session; its sender's last word counts.
            self.close_group(now, origin.address, GoneReason::TakenOver);
        }
        let own = Latency {
            receive_ms: latency_ms(latency),
            send_ms: 0,
        };
        let key = self.connect(origin, request, permit, own, Timestamp(0));
        let stream = self.attach_publisher(
            now,
            &permit.claims.stream,
            NewPublisher {
                connection: key,
                session: permit.claims.session.clone(),
                route: origin.route(),
                caller_id: request.caller_id,
                isn: request.isn,
                latency,
                timestamp: request.timestamp,
                meter,
                keys: keys.map(|keys| Box::new(ReceiveKeys::new(keys.kek, &keys.seks))),
                rate_bps_max: permit.claims.rate_bps_max,
                settings,
                clock_start: now,
                is_pulled: false,
            },
        );
        if let Some(link) = origin.link {
            self.output.srtla.session_started(now, link.group);
        }
        self.joined(now, key, stream, Leg::Publisher, replaced.is_some());
        Ok(())
    }

    /// Ends what a new publisher puts an end to; says how its stream behaves.
    pub(crate) fn make_way(
        &mut self,
        now: Instant,
        permit: &Permit,
        replaced: Option<u32>,
    ) -> StreamSettings {
        if let Some(replaced) = replaced {
            // No word to the players or the log of events: the stream goes on.
            self.end(now, replaced, GoneReason::TakenOver);
        }
        let settings = StreamSettings::of(&permit.claims, &self.config);
        if settings.resume == Resume::Cut
            && let Some(stream) = self.streams_by_id.get(&permit.claims.stream).copied()
        {
            self.cut_players(now, stream);
        }
        settings
    }

    /// Answers a caller that is let in, and gives it a place in the table.
    fn connect(
        &mut self,
        origin: &Origin,
        request: &ConnectRequest,
        permit: &Permit,
        own: Latency,
        timestamp: Timestamp,
    ) -> u32 {
        let socket_id = self.connections.make_id();
        let reply = request.accept(socket_id, request.latency.answer(own), timestamp);
        self.output.send(origin.path, &reply);
        self.connections.insert(Connection {
            socket_id,
            caller: (origin.address, request.caller_id),
            source: origin.path.peer,
            isn: request.isn,
            stream: u32::MAX,
            leg: Leg::Publisher,
            session: permit.claims.session.clone(),
            resumed_until: None,
            own_lease: permit.own_lease.clone().map(|kid| OwnLease {
                kid,
                end: end_of(&permit.claims),
            }),
            reply: Some(reply),
            dial: None,
        })
    }

    /// Whose place a new publisher takes.
    pub(crate) fn publisher_to_replace(
        &self,
        permit: &Permit,
    ) -> Result<Option<u32>, RefusalReason> {
        let Some((_, stream)) = self.find_stream(&permit.claims.stream) else {
            return self.check_new_stream().map(|()| None);
        };
        match &stream.publisher {
            Some(publisher) if publisher.session != permit.claims.session => {
                Err(RefusalReason::Conflict)
            }
            publisher => Ok(publisher.as_ref().map(|publisher| publisher.connection)),
        }
    }

    /// Streams on hold count: each has its memory.
    fn check_new_stream(&self) -> Result<(), RefusalReason> {
        if self.draining {
            Err(RefusalReason::Draining)
        } else if self.streams.len() >= self.sessions.sessions_max() {
            Err(RefusalReason::OverCapacity)
        } else {
            Ok(())
        }
    }

    /// Only what is new needs room: a publisher that returns, or takes over, is
    /// let in on a full node too.
    fn check_room(&self, ingress: Ingress) -> Result<(), RefusalReason> {
        let limits = &self.config.limits;
        let per_source_max = self.config.shard.share(limits.connections_per_source_max);
        self.check_connections()?;
        if self.connections.count_from(ingress.peer) >= per_source_max {
            return Err(RefusalReason::SourceFull);
        }
        Ok(())
    }

    pub(crate) fn check_connections(&self) -> Result<(), RefusalReason> {
        let connections_max = self.config.shard.share(self.config.limits.connections_max);
        if self.connections.len() >= connections_max as usize {
            Err(RefusalReason::OverCapacity)
        } else {
            Ok(())
        }
    }

    /// What counts the caller's bytes, when its lease has a bound.
    pub(crate) fn meter(&mut self, claims: &Claims) -> Result<Option<Meter>, RefusalReason> {
        let meter = self.sessions.meter(claims);
        if meter.as_ref().is_some_and(Meter::is_used_up) {
            return Err(RefusalReason::BytesUsed);
        }
        Ok(meter)
    }

    /// What the caller asks for, and no less than `least` or the lease says.
    pub(crate) fn latency(
        &self,
        wish_ms: u16,
        least: Duration,
        permit: &Permit,
    ) -> Result<Duration, RefusalReason> {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        let wish = ms(u32::from(wish_ms));
        let most = permit
            .claims
            .latency_max_ms
            .map_or(self.config.latency_max, ms);
        if wish > most.min(self.config.latency_max) {
            return Err(RefusalReason::LatencyTooHigh);
        }
        let leased = permit.claims.latency_min_ms.map_or(Duration::ZERO, ms);
        Ok(wish.max(least).max(leased).max(self.config.latency_min))
    }

    pub(crate) fn attach_publisher(
        &mut self,
        now: Instant,
        id: &StreamId,
        new: NewPublisher,
    ) -> u32 {
        if let Some(key) = self.streams_by_id.get(id).copied()
            && let Some(stream) = self.streams.item_mut(key)
        {
            stream.attach(new, now);
            return key;
        }
        let margin = self.config.latency_margin;
        let ring = Ring::new(self.config.limits.ring_bytes_max, self.chunks.clone());
        let stream = Stream::new(id.clone(), new, margin, ring, now);
        let key = self.streams.insert(stream);
        self.streams_by_id.insert(id.clone(), key);
        key
    }

    pub(crate) fn find_stream(&self, id: &StreamId) -> Option<(u32, &Stream)> {
        let key = *self.streams_by_id.get(id)?;
        Some((key, self.streams.item(key)?))
    }

    fn admit_player(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
        permit: &Permit,
        done: Option<&KeyWorkDone>,
    ) -> Result<(), NoKeys> {
        if origin.link.is_some() {
            // Bonding is for what goes up.
            return Err(RefusalReason::Unsupported.into());
        }
        let (stream_key, stream) = self.stream_to_play(permit)?;
        self.check_room(origin.path)?;
        let least = stream.player_latency();
        let latency = self.latency(request.latency.receive_ms, least, permit)?;
        let from_start = permit.claims.start != Some(Start::Newest);
        let first_index = stream.first_index(now, from_start);
        let settings = srt::sender::Settings {
            destination: request.caller_id,
            isn: request.isn,
            first_index,
            timeline_offset_us: stream.player_offset_us(now),
            latency,
            window_packets: request.flow_window,
        };
        let clock = stream.timeline.now(now);
        let own = Latency {
            receive_ms: 0,
            send_ms: latency_ms(latency),
        };
        let timestamp = clock.shifted_us(settings.timeline_offset_us);
        let meter = self.meter(&permit.claims)?;
        let keys = keys_for(permit, request, done)?;
        let sealer = keys.map(|keys| self.sealer(keys));
        let key = self.connect(origin, request, permit, own, timestamp);
        self.players_made += 1;
        let new = NewPlayer {
            id: self.players_made,
            connection: key,
            session: permit.claims.session.clone(),
            path: origin.path,
            payload_max: request.payload_max(),
            settings,
            meter,
            sealer,
        };
        if let Some(stream) = self.streams.item_mut(stream_key) {
            let leg = Leg::Player(stream.add_player(new, now));
            self.joined(now, key, stream_key, leg, false);
        }
        Ok(())
    }

    /// The stream that a new player may join.
    fn stream_to_play(&self, permit: &Permit) -> Result<(u32, &Stream), RefusalReason> {
        let Some((key, stream)) = self.find_stream(&permit.claims.stream) else {
            return Err(if self.draining {
                RefusalReason::Draining
            } else {
                RefusalReason::NoPublisher
            });
        };
        self.check_players(stream, permit)?;
        Ok((key, stream))
    }

    fn check_players(&self, stream: &Stream, permit: &Permit) -> Result<(), RefusalReason> {
        let node_max = self.config.limits.players_per_stream_max;
        let players_max = permit
            .claims
            .players_max
            .map_or(node_max, |max| max.min(node_max));
        if stream.players.len() < players_max as usize {
            Ok(())
        } else {
            Err(RefusalReason::SessionFull)
        }
    }

    /// What every new connection needs.
    pub(crate) fn joined(&mut self, now: Instant, key: u32, stream: u32, leg: Leg, takeover: bool) {
        let Some(connection) = self.connections.connection_mut(key) else {
            return;
        };
        (connection.stream, connection.leg) = (stream, leg);
        let (session, peer) = (connection.session.clone(), connection.source);
        let lease_end = connection.own_lease.as_ref().map(|lease| lease.end);
        self.sessions.join(&session);
        self.output.report(match leg {
            Leg::Publisher => Event::PublisherConnected {
                session,
                peer,
                takeover,
            },
            Leg::Player(_) => Event::PlayerConnected { session, peer },
        });
        self.timers.set(key, Some(now));
        if leg == Leg::Publisher {
            self.wake_remotes(now, stream);
        }
        if let Some(end) = lease_end {
            self.upkeep_by(self.clock.instant_of(end));
        }
    }
}

pub(crate) fn latency_ms(latency: Duration) -> u16 {
    u16::try_from(latency.as_millis()).unwrap_or(u16::MAX)
}
