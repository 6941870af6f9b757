//! Connections that outlive the process: what is saved of them, and how the next
//! relay of the node goes on with them.
//!
//! Nothing in SRT or SRTLA tells a peer that a node forgot it: libsrt notices
//! after five seconds of silence, an SRTLA sender after four to six. A relay that
//! knows its connections again is back before either does. All that a connection
//! needs for it is constant since its handshake, or counted on:
//!
//! - Players' sequence numbers and timestamps lie at constant distances from the
//!   stream's, and those from the publisher's.
//! - What the publisher sent while nobody listened is a gap like any other: it is
//!   reported and comes again, for as long as the latency allows.
//! - Leases are not saved. A connection goes on until the end of its lease; when
//!   the control plane assigns its session, it lives by that again, and when the
//!   control plane's list lacks the session, it is cut.
//!
//! An encrypted connection is not saved, for its keys would be; neither is what
//! the relay called itself: it is called again.

use std::time::{Duration, Instant};

use lease::Kid;
use model::session::Role;
use srt::{Seq, SocketId, Timestamp};
use srtla::{GroupId, Registry};

use crate::bonding::Route;
use crate::connections::{Connection, Leg, OwnLease};
use crate::player::NewPlayer;
use crate::publisher::{NewPublisher, Publisher};
use crate::reason::GoneReason;
use crate::relay::{Relay, registry_config};
use crate::ring::Ring;
use crate::saved::{Saved, SavedConnection, SavedPlayer, SavedPublisher, SavedRoute, SavedStream};
use crate::secrets::Unshown;
use crate::sessions::end_of;
use crate::settings::StreamSettings;
use crate::stream::Stream;

impl Relay {
    /// What the next relay on this node needs to go on with the connections of
    /// this one: all that are in the clear and not called by us, whose publisher
    /// is there.
    #[must_use]
    pub fn save(&self, now: Instant) -> Saved {
        let streams = self.streams.iter();
        let streams: Vec<SavedStream> = streams
            .filter_map(|(_, stream)| self.save_stream(now, stream))
            .collect();
        let groups = streams.iter().filter_map(|stream| self.save_group(stream));
        Saved {
            taken_at: self.clock.at(now),
            shard: self.config.shard.index(),
            shards: self.config.shard.count(),
            stream_key: Unshown(self.stream_key),
            group_key: self.group_key.clone(),
            groups: groups.collect(),
            streams,
        }
    }

    fn save_group(&self, stream: &SavedStream) -> Option<srtla::SavedGroup> {
        let SavedRoute::Group(id) = stream.publisher.route else {
            return None;
        };
        let registry = &self.output.srtla;
        registry.save(registry.key_of(GroupId(id))?)
    }

    fn save_stream(&self, now: Instant, stream: &Stream) -> Option<SavedStream> {
        let publisher = self.save_publisher(now, stream.publisher.as_ref()?)?;
        let players = stream.players.iter();
        let players = players.filter_map(|player| {
            let connection = self.save_connection(player.connection)?;
            player.save(connection)
        });
        Some(SavedStream {
            id: stream.id.clone(),
            settings: stream.settings.save(),
            rate_bps_max: stream.rate_bps_max,
            timeline: stream.timeline.save(now),
            next_index: stream.live_index(),
            publisher,
            players: players.collect(),
        })
    }

    fn save_publisher(&self, now: Instant, publisher: &Publisher) -> Option<SavedPublisher> {
        let connection = self.save_connection(publisher.connection)?;
        let route = match publisher.route {
            Route::Direct(path) => SavedRoute::Direct(path.into()),
            Route::Group(group) => SavedRoute::Group(self.output.srtla.id(group)?.0),
        };
        publisher.save(now, connection, route)
    }

    fn save_connection(&self, key: u32) -> Option<SavedConnection> {
        let connection = self.connections.connection(key)?;
        if connection.is_ours() {
            return None;
        }
        let claims = self
            .sessions
            .claims(&connection.session, connection.leg.role());
        let (caller, caller_id) = connection.caller;
        let own_lease = connection.own_lease.as_ref();
        Some(SavedConnection {
            socket_id: connection.socket_id.0,
            caller,
            caller_id: caller_id.0,
            source: connection.source,
            isn: connection.isn.value(),
            session: connection.session.clone(),
            own_lease: own_lease.map(|lease| lease.kid.to_string()),
            lease_end: own_lease
                .map(|lease| lease.end)
                .or(claims.map(end_of))
                .or(connection.resumed_until)?,
            meter: None,
        })
    }

    /// Goes on with the connections of the relay before this one. To be called
    /// before anything else; sessions are assigned as ever.
    pub fn resume(&mut self, now: Instant, saved: &Saved) {
        let place = (self.config.shard.index(), self.config.shard.count());
        if (saved.shard, saved.shards) != place {
            return;
        }
        self.stream_key = saved.stream_key.0;
        self.group_key = saved.group_key.clone();
        self.output.srtla = Registry::new(registry_config(&self.config), saved.group_key.0, now);
        for group in &saved.groups {
            // Its stream does without when there is no room for it.
            let _ = self.output.srtla.resume(now, group);
        }
        let away = self.clock.at(now).since(saved.taken_at);
        for stream in saved.streams.iter().filter(|stream| stream.is_sane()) {
            self.resume_stream(now, away, stream);
        }
        self.handle_group_events(now);
    }

    fn resume_stream(&mut self, now: Instant, away: Duration, saved: &SavedStream) -> Option<()> {
        let from = &saved.publisher;
        let route = match from.route {
            SavedRoute::Direct(path) => Route::Direct(path.into()),
            SavedRoute::Group(id) => Route::Group(self.output.srtla.key_of(GroupId(id))?),
        };
        let connection = self.resume_connection(&from.connection)?;
        let clock = from.clock + away;
        let new = NewPublisher {
            connection,
            session: from.connection.session.clone(),
            route,
            caller_id: SocketId(from.connection.caller_id),
            isn: Seq::new(from.connection.isn),
            latency: from.latency,
            timestamp: Timestamp(0),
            meter: self.sessions.resume_meter(&from.connection, Role::Publish),
            keys: None,
            rate_bps_max: saved.rate_bps_max,
            settings: StreamSettings::from(&saved.settings),
            clock_start: now.checked_sub(clock).unwrap_or(now),
            is_pulled: false,
        };
        let ring = Ring::new(self.config.limits.ring_bytes_max, self.chunks.clone());
        let margin = self.config.latency_margin;
        let mut stream = Stream::new(saved.id.clone(), new, margin, ring, now);
        stream.resume(now, away, saved);
        let key = self.streams.insert(stream);
        self.streams_by_id.insert(saved.id.clone(), key);
        if let Route::Group(group) = route {
            self.output.srtla.session_started(now, group);
        }
        self.joined(now, connection, key, Leg::Publisher, false);
        for player in &saved.players {
            self.resume_player(now, key, player);
        }
        Some(())
    }

    fn resume_player(&mut self, now: Instant, stream: u32, saved: &SavedPlayer) -> Option<()> {
        let connection = self.resume_connection(&saved.connection)?;
        self.players_made = self.players_made.max(saved.id);
        let new = NewPlayer {
            id: saved.id,
            connection,
            session: saved.connection.session.clone(),
            path: saved.path.into(),
            payload_max: saved.payload_max,
            settings: srt::sender::Settings {
                destination: SocketId(saved.connection.caller_id),
                isn: Seq::new(saved.isn),
                first_index: saved.first_index,
                timeline_offset_us: saved.timeline_offset_us,
                latency: saved.latency_agreed,
                window_packets: saved.window_packets,
            },
            meter: self.sessions.resume_meter(&saved.connection, Role::Play),
            sealer: None,
        };
        let place = self
            .streams
            .item_mut(stream)?
            .resume_player(now, new, saved.latency);
        self.joined(now, connection, stream, Leg::Player(place), false);
        Some(())
    }

    /// `None` when its place is taken, or its own lease's key is no key.
    fn resume_connection(&mut self, saved: &SavedConnection) -> Option<u32> {
        let socket_id = SocketId(saved.socket_id);
        let caller = (saved.caller, SocketId(saved.caller_id));
        let is_taken = self.connections.find(socket_id).is_some()
            || self.connections.find_caller(caller).is_some();
        if is_taken || socket_id == SocketId::LISTENER {
            return None;
        }
        let end = saved.lease_end;
        let own_lease = match saved.own_lease.as_deref() {
            Some(kid) => Some(OwnLease {
                kid: Kid::parse(kid).ok()?,
                end,
            }),
            None => None,
        };
        if own_lease.is_none() {
            self.sessions.resume(&saved.session);
        }
        self.upkeep_by(self.clock.instant_of(end));
        Some(self.connections.insert(Connection {
            socket_id,
            caller,
            source: saved.source,
            isn: Seq::new(saved.isn),
            stream: u32::MAX,
            leg: Leg::Publisher,
            session: saved.session.clone(),
            own_lease,
            resumed_until: Some(end),
            reply: None,
            dial: None,
        }))
    }

    /// Ends what a relay that goes on from [`save`](Self::save) will not know.
    pub fn leave(&mut self, now: Instant) {
        let saved = self.save(now);
        let known = saved.streams.iter().flat_map(|stream| {
            let players = stream.players.iter().map(|player| &player.connection);
            players.chain([&stream.publisher.connection])
        });
        let known: std::collections::BTreeSet<u32> = known.map(|saved| saved.socket_id).collect();
        let all = self.connections.iter();
        let others: Vec<u32> = all
            .filter(|(_, connection)| !known.contains(&connection.socket_id.0))
            .map(|(key, _)| key)
            .collect();
        for key in others {
            self.close(now, key, GoneReason::Restart);
        }
    }
}
