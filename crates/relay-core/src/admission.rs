//! Handshakes: who is answered, who is let in, who is refused and why.

mod player;
mod publisher;
mod room;

use std::time::{Duration, Instant};

use model::session::Role;
use model::{Passphrase, StreamId};
use srt::Timestamp;
use srt::crypto::KeyMaterial;
use srt::handshake::{Handshake, Kind, Latency};
use srt::listener::{ConnectRequest, DropReason as HandshakeDrop, Step};
use srt::packet::ControlHeader;
use srt::streamid::StreamIdText;

use crate::bonding::Origin;
use crate::connections::{Connection, Leg, OwnLease};
use crate::encryption::NoKeys;
use crate::key_work::{KeyWorkDone, Purpose, Task};
use crate::reason::{DropReason, RefusalReason};
use crate::relay::Relay;
use crate::sessions::{Permit, Refused, end_of};
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
                let task = Task::Unwrap(message);
                self.key_desk.ask(now, purpose, passphrase, task)?;
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
        if stream_id.as_str() == model::probe::STREAM_ID {
            return Err(Refused::unknown(RefusalReason::Probe));
        }
        let text = StreamIdText::parse(stream_id.as_str()).map_err(|_| unreadable)?;
        if text.is_lease() && !self.buckets.lease_checks.take(now, 1) {
            return Err(Refused::unknown(RefusalReason::Busy));
        }
        let port = self.config.sockets[usize::from(ingress.socket)];
        self.sessions.permit(text, port, self.clock.at(now))
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

    pub(crate) fn find_stream(&self, id: &StreamId) -> Option<(u32, &Stream)> {
        let key = *self.streams_by_id.get(id)?;
        Some((key, self.streams.item(key)?))
    }

    /// What every new connection needs.
    pub(crate) fn joined(&mut self, now: Instant, key: u32, stream: u32, leg: Leg, takeover: bool) {
        let Some(connection) = self.connections.connection_mut(key) else {
            return;
        };
        (connection.stream, connection.leg) = (stream, leg);
        let (session, peer) = (connection.session.clone(), connection.source);
        let lease_end = connection.own_lease.as_ref().map(|lease| lease.end);
        let pulled = connection.dial.is_some();
        self.sessions.join(&session);
        self.output.report(match leg {
            Leg::Publisher => Event::PublisherConnected {
                session,
                peer,
                takeover,
                pulled,
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
