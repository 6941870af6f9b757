//! Handshakes: who is answered, who is let in, who is refused and why.

use std::time::{Duration, Instant};

use model::session::Role;
use srt::Timestamp;
use srt::handshake::{Handshake, Kind, Latency};
use srt::listener::{ConnectRequest, DropReason as HandshakeDrop, Step};
use srt::packet::ControlHeader;

use crate::connections::{Connection, Leg};
use crate::player::NewPlayer;
use crate::publisher::NewPublisher;
use crate::reason::{DropReason, GoneReason, RefusalReason};
use crate::relay::Relay;
use crate::sessions::{Permit, Refused, end_of};
use crate::stream::Stream;
use crate::{Event, Ingress};

impl Relay {
    pub(crate) fn handle_handshake(
        &mut self,
        now: Instant,
        ingress: Ingress,
        header: ControlHeader,
        handshake: &Handshake<'_>,
    ) -> Result<(), DropReason> {
        if usize::from(ingress.socket) >= self.config.sockets.len() {
            return Err(DropReason::UnknownPort);
        }
        let inductions_max = self.config.limits.inductions_per_second_max;
        if handshake.kind == Kind::Induction && !self.inductions.take(now, inductions_max) {
            return Err(DropReason::HandshakeRate);
        }
        let minute = now.saturating_duration_since(self.started_at).as_secs() / 60;
        match self
            .listener
            .0
            .handle(minute, ingress.peer, handshake, header.timestamp)
        {
            Step::Reply(reply) => self.output.send(ingress, &reply, &[]),
            Step::Request(request) => return self.handle_request(now, ingress, &request),
            Step::Reject(_, reply) => {
                self.limit_source(now, ingress)?;
                self.output.refuse(None, RefusalReason::Unsupported);
                self.output.send(ingress, &reply, &[]);
            }
            Step::Drop(HandshakeDrop::BadCookie) => return Err(DropReason::BadCookie),
            Step::Drop(_) => return Err(DropReason::BadHandshake),
        }
        Ok(())
    }

    fn limit_source(&mut self, now: Instant, ingress: Ingress) -> Result<(), DropReason> {
        if self.sources.allows(now, ingress.peer) {
            Ok(())
        } else {
            Err(DropReason::HandshakeRate)
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        ingress: Ingress,
        request: &ConnectRequest,
    ) -> Result<(), DropReason> {
        self.limit_source(now, ingress)?;
        let caller = (ingress.peer, request.caller_id);
        let known = self.connections.find_caller(caller);
        if let Some(key) = known.filter(|key| self.connections.is_same(*key, request.isn)) {
            self.answer_again(now, ingress, key);
            return Ok(());
        }
        if self.connections.has_ended(caller, request.isn) {
            return Err(DropReason::StaleHandshake);
        }
        if let Err(Refused { reason, session }) = self.admit(now, ingress, request) {
            self.output.refuse(session, reason);
            let reply = request.reject(reason.code(), Timestamp(0));
            self.output.send(ingress, &reply, &[]);
        }
        Ok(())
    }

    /// A repeated conclusion gets the first one's answer, stamped with its own
    /// time: the caller's clock of the connection starts with it.
    fn answer_again(&mut self, now: Instant, ingress: Ingress, key: u32) {
        let Some(timestamp) = self.leg_timestamp(now, key) else {
            return;
        };
        if let Some(connection) = self.connections.connection_mut(key) {
            connection.reply.restamp(timestamp);
            self.output.send(ingress, &connection.reply, &[]);
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
        ingress: Ingress,
        request: &ConnectRequest,
    ) -> Result<(), Refused> {
        let Some(stream_id) = &request.stream_id else {
            return Err(Refused::unknown(RefusalReason::BadStreamId));
        };
        let port = self.config.sockets[usize::from(ingress.socket)];
        let permit = self
            .sessions
            .permit(stream_id.as_str(), port, self.clock.at(now))?;
        let admitted = match permit.claims.role {
            Role::Publish => self.admit_publisher(now, ingress, request, &permit),
            Role::Play => self.admit_player(now, ingress, request, &permit),
        };
        admitted.map_err(|reason| Refused {
            reason,
            session: Some(permit.claims.session),
        })
    }

    fn admit_publisher(
        &mut self,
        now: Instant,
        ingress: Ingress,
        request: &ConnectRequest,
        permit: &Permit,
    ) -> Result<(), RefusalReason> {
        let claims = &permit.claims;
        let stream = self.streams_by_id.get(&claims.stream).copied();
        let replaced = self.publisher_to_replace(stream, permit)?;
        self.check_room(replaced.is_some())?;
        let latency = self.latency(request.latency.send_ms, Duration::ZERO, permit)?;
        let takeover = replaced.is_some();
        if let Some(replaced) = replaced {
            self.replace(now, replaced);
        }
        let socket_id = self.connections.make_id();
        let own = Latency {
            receive_ms: latency_ms(latency),
            send_ms: 0,
        };
        let reply = request.accept(socket_id, request.latency.answer(own), Timestamp(0));
        self.output.send(ingress, &reply, &[]);
        let key = self.connections.insert(Connection {
            socket_id,
            caller: (ingress.peer, request.caller_id),
            isn: request.isn,
            stream: u32::MAX,
            leg: Leg::Publisher,
            session: claims.session.clone(),
            lease_end: permit.own_lease.then(|| end_of(claims)),
            reply,
        });
        self.attach_publisher(now, ingress, request, permit, key, latency);
        self.joined(now, key, ingress, takeover);
        Ok(())
    }

    /// Whose place a new publisher takes.
    fn publisher_to_replace(
        &self,
        stream: Option<u32>,
        permit: &Permit,
    ) -> Result<Option<u32>, RefusalReason> {
        let Some(stream) = stream.and_then(|key| self.streams.item(key)) else {
            return if self.draining {
                Err(RefusalReason::Draining)
            } else {
                Ok(None)
            };
        };
        match &stream.publisher {
            Some(publisher) if publisher.session != permit.claims.session => {
                Err(RefusalReason::Conflict)
            }
            publisher => Ok(publisher.as_ref().map(|publisher| publisher.connection)),
        }
    }

    fn check_room(&self, replaces: bool) -> Result<(), RefusalReason> {
        let has_room = self.connections.len() < self.config.limits.connections_max as usize;
        if has_room || replaces {
            Ok(())
        } else {
            Err(RefusalReason::OverCapacity)
        }
    }

    /// What the caller asks for, and no less than `least` or the lease says.
    fn latency(
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

    fn attach_publisher(
        &mut self,
        now: Instant,
        ingress: Ingress,
        request: &ConnectRequest,
        permit: &Permit,
        key: u32,
        latency: Duration,
    ) {
        let new = NewPublisher {
            connection: key,
            session: permit.claims.session.clone(),
            path: ingress,
            caller_id: request.caller_id,
            isn: request.isn,
            latency,
            timestamp: request.timestamp,
        };
        let id = &permit.claims.stream;
        let stream = match self.streams_by_id.get(id).copied() {
            Some(stream) => {
                if let Some(stream) = self.streams.item_mut(stream) {
                    stream.attach(new, now);
                }
                stream
            }
            None => {
                let margin = self.config.latency_margin;
                let ring_bytes_max = self.config.limits.ring_bytes_max;
                let stream = Stream::new(id.clone(), new, margin, ring_bytes_max, now);
                let stream = self.streams.insert(stream);
                self.streams_by_id.insert(id.clone(), stream);
                stream
            }
        };
        if let Some(connection) = self.connections.connection_mut(key) {
            connection.stream = stream;
        }
    }

    fn admit_player(
        &mut self,
        now: Instant,
        ingress: Ingress,
        request: &ConnectRequest,
        permit: &Permit,
    ) -> Result<(), RefusalReason> {
        let claims = &permit.claims;
        let stream_key = self.streams_by_id.get(&claims.stream).copied();
        let Some((stream_key, stream)) =
            stream_key.and_then(|key| Some((key, self.streams.item(key)?)))
        else {
            let reason = if self.draining {
                RefusalReason::Draining
            } else {
                RefusalReason::NoPublisher
            };
            return Err(reason);
        };
        self.check_players(stream, permit)?;
        self.check_room(false)?;
        let latency = self.latency(request.latency.receive_ms, stream.player_latency(), permit)?;
        let socket_id = self.connections.make_id();
        let settings = stream.player_settings(now, request.caller_id, request.isn, latency);
        let timestamp = stream
            .timeline
            .now(now)
            .shifted_us(settings.timeline_offset_us);
        let own = Latency {
            receive_ms: 0,
            send_ms: latency_ms(latency),
        };
        let reply = request.accept(socket_id, request.latency.answer(own), timestamp);
        self.output.send(ingress, &reply, &[]);
        let key = self.connections.insert(Connection {
            socket_id,
            caller: (ingress.peer, request.caller_id),
            isn: request.isn,
            stream: stream_key,
            leg: Leg::Player(u32::MAX),
            session: claims.session.clone(),
            lease_end: permit.own_lease.then(|| end_of(claims)),
            reply,
        });
        let new = NewPlayer {
            connection: key,
            session: claims.session.clone(),
            path: ingress,
            payload_max: request.payload_max(),
            settings,
        };
        self.add_player(now, stream_key, new);
        self.joined(now, key, ingress, false);
        Ok(())
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

    fn add_player(&mut self, now: Instant, stream: u32, new: NewPlayer) {
        let key = new.connection;
        let Some(stream) = self.streams.item_mut(stream) else {
            return;
        };
        let place = stream.add_player(new, now);
        if let Some(connection) = self.connections.connection_mut(key) {
            connection.leg = Leg::Player(place);
        }
    }

    /// What every new connection needs.
    fn joined(&mut self, now: Instant, key: u32, ingress: Ingress, takeover: bool) {
        let Some(connection) = self.connections.connection(key) else {
            return;
        };
        let session = connection.session.clone();
        self.sessions.join(&session);
        let peer = ingress.peer;
        self.output.report(match connection.leg {
            Leg::Publisher => Event::PublisherConnected {
                session,
                peer,
                takeover,
            },
            Leg::Player(_) => Event::PlayerConnected { session, peer },
        });
        self.timers.set(key, Some(now));
        self.plan_upkeep(now);
    }

    /// The old publisher goes without a word to the players or the log of events.
    fn replace(&mut self, now: Instant, key: u32) {
        self.end(now, key, GoneReason::TakenOver);
    }
}

fn latency_ms(latency: Duration) -> u16 {
    u16::try_from(latency.as_millis()).unwrap_or(u16::MAX)
}
