//! Calling a remote, and what becomes of its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::settings::Start;
use srt::caller::{Agreement, Caller, Error, Ignored, PATIENCE, Progress, Settings};
use srt::crypto::{KeyMaterial, ReceiveKeys};
use srt::handshake::{Handshake, Latency};
use srt::packet::{Control, ControlHeader, build};
use srt::{Packet, Seq, SocketId, Timestamp};

use crate::Ingress;
use crate::admission::latency_ms;
use crate::bonding::Route;
use crate::connections::{Connection, Leg};
use crate::dials::{Call, CallClock, Dial, State};
use crate::key_work::Unwrapped;
use crate::player::NewPlayer;
use crate::publisher::NewPublisher;
use crate::reason::{DropReason, RefusalReason};
use crate::relay::Relay;
use crate::remote::{Direction, RemoteFailure};
use crate::remotes::check_encryption;
use crate::sessions::Permit;

/// The socket that calls leave from.
const CALLING_SOCKET: u8 = 0;

/// A remote that agreed, on its way in.
struct Joining<'a> {
    ingress: Ingress,
    permit: Permit,
    connection: Connection,
    agreement: &'a Agreement,
    /// What it is encrypted with.
    keys: Option<Unwrapped>,
}

impl Relay {
    /// Calls a remote; `keys` are what the connection will be encrypted with, and
    /// the message that tells the remote.
    pub(crate) fn call(
        &mut self,
        now: Instant,
        key: u32,
        to: SocketAddr,
        keys: Option<(KeyMaterial, Unwrapped)>,
    ) {
        let socket_id = self.make_calling_id();
        let isn = Seq::new(self.dials.roll());
        let Some(dial) = self.dials.dial(key) else {
            return;
        };
        let Some((latency, clock)) = self.proposal(now, dial) else {
            // The stream or the lease ended meanwhile.
            self.dials.set_state(key, State::Standby, None);
            return;
        };
        let (message, keys) = keys.unzip();
        let settings = Settings {
            to,
            socket_id,
            isn,
            stream_id: dial.remote.stream_id.clone(),
            latency,
            key: message,
            patience: PATIENCE,
        };
        let caller = Caller::new(settings, now);
        let call = State::Calling(Box::new(Call {
            caller,
            clock,
            keys,
        }));
        self.dials.set_state(key, call, None);
        self.go_on_calling(now, key);
    }

    fn make_calling_id(&mut self) -> SocketId {
        loop {
            let id = self.connections.make_id();
            if self.dials.by_socket(id).is_none() {
                return id;
            }
        }
    }

    /// What we ask of a remote, and the clock of our requests.
    fn proposal(&self, now: Instant, dial: &Dial) -> Option<(Latency, CallClock)> {
        let permit = self.remote_permit(now, dial)?;
        let leased_ms = permit.claims.latency_min_ms.unwrap_or(0);
        let leased = Duration::from_millis(leased_ms.into());
        let own = dial.remote.latency.max(leased).max(self.config.latency_min);
        Some(match dial.direction {
            Direction::Pull => {
                let latency = Latency {
                    receive_ms: latency_ms(own),
                    send_ms: 0,
                };
                (latency, CallClock::Own(now))
            }
            Direction::Push => {
                let (number, stream) = self.find_stream(&dial.stream)?;
                let latency = Latency {
                    receive_ms: 0,
                    send_ms: latency_ms(own.max(stream.player_latency())),
                };
                let clock = CallClock::Stream {
                    stream: number,
                    offset_us: stream.player_offset_us(now),
                };
                (latency, clock)
            }
        })
    }

    /// Sends the request that is due, or gives up.
    pub(crate) fn go_on_calling(&mut self, now: Instant, key: u32) {
        let Some(timestamp) = self.call_timestamp(now, key) else {
            return;
        };
        let Some(call) = self.dials.dial_mut(key).and_then(Dial::call_mut) else {
            return;
        };
        if let Err(failure) = call.caller.handle_timeout(now) {
            self.remote_failed(now, key, failure.into());
            return;
        }
        let path = path(call.caller.to());
        if let Some(request) = call.caller.poll_request(now, timestamp) {
            self.output.send(path, request);
        }
        let at = call.caller.poll_timeout();
        self.dials.set_timer(key, at);
    }

    /// The reading of a call's clock; `None` when there is no call, or its stream
    /// is gone.
    fn call_timestamp(&self, now: Instant, key: u32) -> Option<Timestamp> {
        let call = self.dials.dial(key)?.call()?;
        Some(match call.clock {
            CallClock::Own(start) => Timestamp::after_start(now.saturating_duration_since(start)),
            CallClock::Stream { stream, offset_us } => {
                let stream = self.streams.item(stream)?;
                stream.timeline.now(now).shifted_us(offset_us)
            }
        })
    }

    /// Takes what came to the socket of a call.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        ingress: Ingress,
        key: u32,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let Some(call) = self.dials.dial_mut(key).and_then(Dial::call_mut) else {
            return Err(DropReason::UnknownSocket);
        };
        if call.caller.to() != ingress.peer {
            return Err(DropReason::WrongPeer);
        }
        let (header, handshake) = read_handshake(datagram)?;
        match call.caller.handle(now, header, &handshake) {
            Ok(Progress::Concluding) => self.go_on_calling(now, key),
            Ok(Progress::Connected(agreement)) => self.agreed(now, ingress, key, &agreement),
            Err(Error::Failed(failure)) => self.remote_failed(now, key, failure.into()),
            Err(Error::Ignored(ignored)) => return Err(ignored.into()),
        }
        Ok(())
    }

    /// The remote agreed: now it needs a place here.
    fn agreed(&mut self, now: Instant, ingress: Ingress, key: u32, agreement: &Agreement) {
        match self.join_remote(now, ingress, key, agreement) {
            Ok(connection) => {
                let since = now;
                let state = State::Connected { connection, since };
                self.dials.set_state(key, state, None);
            }
            Err(reason) => {
                self.send_farewell(now, ingress, key, agreement);
                self.remote_failed(now, key, RemoteFailure::Refused(reason));
            }
        }
    }

    fn join_remote(
        &mut self,
        now: Instant,
        ingress: Ingress,
        key: u32,
        agreement: &Agreement,
    ) -> Result<u32, RefusalReason> {
        let gone = RefusalReason::NoPublisher;
        let dial = self.dials.dial(key).ok_or(gone)?;
        let call = dial.call().ok_or(gone)?;
        let permit = self
            .remote_permit(now, dial)
            .ok_or(RefusalReason::LeaseExpired)?;
        check_encryption(&permit, &dial.remote)?;
        let (clock, least) = (call.clock, dial.remote.latency);
        let connection = Connection {
            socket_id: call.caller.socket_id(),
            caller: (ingress.peer, agreement.peer_id),
            source: ingress.peer,
            isn: call.caller.isn(),
            stream: u32::MAX,
            leg: Leg::Publisher,
            session: dial.session.clone(),
            resumed_until: None,
            own_lease: None,
            reply: None,
            dial: Some(key),
        };
        let joining = Joining {
            ingress,
            permit,
            connection,
            agreement,
            keys: call.keys.clone(),
        };
        match clock {
            CallClock::Own(start) => self.join_pulled(now, joining, least, start),
            CallClock::Stream { stream, offset_us } => {
                self.join_pushed(now, joining, stream, offset_us)
            }
        }
    }

    /// A pulled stream comes from a publisher like any other, except that it is
    /// we who called, at `start`.
    fn join_pulled(
        &mut self,
        now: Instant,
        joining: Joining<'_>,
        least: Duration,
        start: Instant,
    ) -> Result<u32, RefusalReason> {
        let Joining {
            permit,
            agreement,
            keys,
            ..
        } = joining;
        let replaced = self.place_for_pull(&permit)?;
        let latency = self.latency(agreement.latency.send_ms, least, &permit)?;
        let meter = self.meter(&permit.claims)?;
        let settings = self.make_way(now, &permit, replaced);
        let key = self.connections.insert(joining.connection);
        let new = NewPublisher {
            connection: key,
            session: permit.claims.session.clone(),
            route: Route::Direct(joining.ingress),
            caller_id: agreement.peer_id,
            isn: agreement.isn,
            latency,
            timestamp: agreement.timestamp,
            meter,
            keys: keys.map(|keys| Box::new(ReceiveKeys::new(keys.kek, &keys.seks))),
            rate_bps_max: permit.claims.rate_bps_max,
            settings,
            clock_start: start,
            is_pulled: true,
        };
        let stream = self.attach_publisher(now, &permit.claims.stream, new);
        self.joined(now, key, stream, Leg::Publisher, replaced.is_some());
        Ok(key)
    }

    /// Whose place a pulled publisher takes. As with one that calls, only what is
    /// new needs room.
    pub(crate) fn place_for_pull(&self, permit: &Permit) -> Result<Option<u32>, RefusalReason> {
        let replaced = self.publisher_to_replace(permit)?;
        if self.find_stream(&permit.claims.stream).is_none() {
            self.check_connections()?;
        }
        Ok(replaced)
    }

    /// A remote that is pushed to is a player like any other, except that its
    /// clock began with our conclusion.
    fn join_pushed(
        &mut self,
        now: Instant,
        joining: Joining<'_>,
        number: u32,
        offset_us: i64,
    ) -> Result<u32, RefusalReason> {
        self.check_connections()?;
        let meter = self.meter(&joining.permit.claims)?;
        let (connection, agreement) = (joining.connection, joining.agreement);
        let sealer = joining.keys.map(|keys| self.sealer(keys));
        let stream = self
            .streams
            .item_mut(number)
            .ok_or(RefusalReason::NoPublisher)?;
        let agreed = Duration::from_millis(agreement.latency.receive_ms.into());
        let from_start = joining.permit.claims.start != Some(Start::Newest);
        let settings = srt::sender::Settings {
            destination: agreement.peer_id,
            isn: connection.isn,
            first_index: stream.first_index(now, from_start),
            timeline_offset_us: offset_us,
            latency: agreed,
            window_packets: agreement.flow_window,
        };
        let session = connection.session.clone();
        let key = self.connections.insert(connection);
        self.players_made += 1;
        let new = NewPlayer {
            id: self.players_made,
            connection: key,
            session,
            path: joining.ingress,
            payload_max: agreement.payload_max,
            settings,
            meter,
            sealer,
        };
        let place = stream.add_player(new, now);
        self.joined(now, key, number, Leg::Player(place), false);
        Ok(key)
    }

    /// Tells a remote that agreed that nothing will come of it.
    fn send_farewell(&mut self, now: Instant, path: Ingress, key: u32, agreement: &Agreement) {
        let header = ControlHeader {
            timestamp: self.call_timestamp(now, key).unwrap_or_default(),
            destination: agreement.peer_id,
        };
        let mut buffer = [0; build::CONTROL_MAX];
        let length = build::shutdown(&mut buffer, header);
        self.output.send(path, &buffer[..length]);
    }
}

const fn path(to: SocketAddr) -> Ingress {
    Ingress {
        peer: to,
        local_ip: None,
        socket: CALLING_SOCKET,
    }
}

fn read_handshake(datagram: &[u8]) -> Result<(ControlHeader, Handshake<'_>), DropReason> {
    match Packet::parse(datagram) {
        Ok(Packet::Control {
            header,
            body: Control::Handshake(handshake),
        }) => Ok((header, handshake)),
        Ok(_) => Err(DropReason::NotHandshake),
        Err(_) => Err(DropReason::Malformed),
    }
}

impl From<Ignored> for DropReason {
    fn from(ignored: Ignored) -> Self {
        match ignored {
            Ignored::OtherSocket => Self::UnknownSocket,
            Ignored::OtherCookie => Self::BadCookie,
            Ignored::OutOfTurn => Self::StaleHandshake,
        }
    }
}
