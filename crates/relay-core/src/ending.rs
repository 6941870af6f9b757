//! How connections, holds and leases end.

use std::collections::BTreeSet;
use std::time::Instant;

use lease::Refusal;
use model::SessionId;

use crate::Event;
use crate::bonding::Route;
use crate::connections::{Connection, Leg};
use crate::player::Player;
use crate::publisher::Publisher;
use crate::reason::GoneReason;
use crate::relay::Relay;
use crate::stream::Stream;
use crate::traffic::Traffic;

/// Connections and holds ended in one turn: the packets of others wait so long.
const ENDINGS_PER_TURN: usize = 256;

impl Relay {
    /// Ends a connection and reports it.
    pub(crate) fn close(&mut self, now: Instant, key: u32, reason: GoneReason) {
        let pulled = self.is_pulled(key);
        let Some(connection) = self.end(now, key, reason) else {
            return;
        };
        let session = connection.session;
        self.output.report(match connection.leg {
            Leg::Publisher => Event::PublisherGone {
                session,
                reason,
                pulled,
            },
            Leg::Player(_) => Event::PlayerGone { session, reason },
        });
        if connection.leg == Leg::Publisher {
            self.wake_remotes(now, connection.stream);
        }
        self.drop_stream_if_unused(now, connection.stream);
    }

    /// Whether a connection is a publisher's that we called.
    fn is_pulled(&self, key: u32) -> bool {
        let connection = self.connections.connection(key);
        let connection = connection.filter(|connection| connection.leg == Leg::Publisher);
        let stream = connection.and_then(|connection| self.streams.item(connection.stream));
        let publisher = stream.and_then(|stream| stream.publisher.as_ref());
        publisher.is_some_and(Publisher::is_pulled)
    }

    /// Takes a connection out of everything; tells the peer unless it knows.
    pub(crate) fn end(&mut self, now: Instant, key: u32, reason: GoneReason) -> Option<Connection> {
        let connection = self.connections.remove(key, now)?;
        self.timers.set(key, None);
        let tell = reason != GoneReason::Closed;
        let traffic = match connection.leg {
            Leg::Publisher => self.detach_publisher(now, connection.stream, tell),
            Leg::Player(place) => self.remove_player(now, connection.stream, place, tell),
        };
        self.sessions.leave(&connection.session, traffic);
        if let Some(dial) = connection.dial {
            self.remote_gone(now, dial);
        }
        Some(connection)
    }

    /// Says what it brought.
    fn detach_publisher(&mut self, now: Instant, stream: u32, tell: bool) -> Traffic {
        let Some(stream) = self.streams.item_mut(stream) else {
            return Traffic::default();
        };
        let Some(publisher) = stream.detach(now) else {
            return Traffic::default();
        };
        let hold_until = now + stream.settings.hold;
        stream.hold_until = Some(hold_until);
        if tell {
            publisher.send_shutdown(now, &mut self.output);
        }
        if let Route::Group(group) = publisher.route {
            self.output.srtla.session_ended(group);
        }
        self.upkeep_by(hold_until);
        Traffic::received(publisher.bytes())
    }

    /// Says what it got. The last player moves to the free place.
    fn remove_player(&mut self, now: Instant, stream: u32, place: u32, tell: bool) -> Traffic {
        let Some(stream) = self.streams.item_mut(stream) else {
            return Traffic::default();
        };
        if place as usize >= stream.players.len() {
            return Traffic::default();
        }
        let player = stream.players.swap_remove(place as usize);
        if tell {
            player.send_shutdown(now, &stream.timeline, &mut self.output);
        }
        if let Some(moved) = stream.players.get(place as usize)
            && let Some(connection) = self.connections.connection_mut(moved.connection)
        {
            connection.leg = Leg::Player(place);
        }
        Traffic::sent(player.bytes())
    }

    fn drop_stream_if_unused(&mut self, now: Instant, key: u32) {
        if self.streams.item(key).is_some_and(Stream::is_unused)
            && let Some(stream) = self.streams.remove(key)
        {
            self.streams_by_id.remove(&stream.id);
            self.releases.set(key, None);
            self.stop_calls_for(now, key);
        }
    }

    /// Cuts every connection of these sessions and holds nothing for them.
    pub(crate) fn cut(
        &mut self,
        now: Instant,
        sessions: &BTreeSet<&SessionId>,
        reason: GoneReason,
    ) {
        for session in sessions {
            self.forget_remotes(session);
        }
        let published = self.streams.iter();
        let streams: Vec<u32> = published
            .filter(|(_, stream)| sessions.contains(&stream.last_session))
            .map(|(key, _)| key)
            .collect();
        let members = self.connections.iter();
        let connections: Vec<u32> = members
            .filter(|(_, connection)| sessions.contains(&connection.session))
            .map(|(key, _)| key)
            .collect();
        for key in connections {
            self.close(now, key, reason);
        }
        for key in streams {
            self.end_hold(now, key, reason);
        }
    }

    /// Nobody waits for this stream's publisher any longer.
    fn end_hold(&mut self, now: Instant, key: u32, reason: GoneReason) {
        if let Some(stream) = self.streams.item_mut(key).filter(|s| s.publisher.is_none()) {
            stream.hold_until = None;
            self.close_players(now, key, reason, |_| true);
            self.drop_stream_if_unused(now, key);
        }
    }

    /// Lets those players of a stream go who have seen something of it: a new
    /// publisher begins anew with them. The others wait for their first packet.
    pub(crate) fn cut_players(&mut self, now: Instant, stream: u32) {
        let has_seen = |player: &Player| player.sender.statistics().packets > 0;
        self.close_players(now, stream, GoneReason::TakenOver, has_seen);
    }

    fn close_players(
        &mut self,
        now: Instant,
        stream: u32,
        reason: GoneReason,
        is_meant: impl Fn(&Player) -> bool,
    ) {
        let players = self.streams.item(stream).map(|stream| &stream.players);
        let players = players
            .into_iter()
            .flatten()
            .filter(|player| is_meant(player));
        let connections: Vec<u32> = players.map(|player| player.connection).collect();
        for key in connections {
            self.close(now, key, reason);
        }
    }

    /// Ends the holds and leases that are over, as many as fit a turn.
    pub(crate) fn upkeep(&mut self, now: Instant) {
        let expired = self.connections.iter();
        let expired: Vec<u32> = expired
            .filter(|(_, connection)| self.has_expired(now, connection))
            .map(|(key, _)| key)
            .take(ENDINGS_PER_TURN)
            .collect();
        let is_over = |stream: &Stream| stream.hold_until.is_some_and(|until| until <= now);
        let over = self.streams.iter().filter(|(_, stream)| is_over(stream));
        let over: Vec<u32> = over.map(|(key, _)| key).take(ENDINGS_PER_TURN).collect();
        let is_all = expired.len().max(over.len()) < ENDINGS_PER_TURN;
        for key in expired {
            self.close(now, key, GoneReason::LeaseExpired);
        }
        for key in over {
            self.end_hold(now, key, GoneReason::HoldExpired);
        }
        self.upkeep_at = if is_all {
            self.next_upkeep(now)
        } else {
            Some(now)
        };
    }

    /// A caller that brought its own lease has that; others have their session's.
    fn has_expired(&self, now: Instant, connection: &Connection) -> bool {
        let wall = self.clock.at(now);
        if let Some(lease) = &connection.own_lease {
            return wall >= lease.end;
        }
        let claims = self
            .sessions
            .claims(&connection.session, connection.leg.role());
        match (claims, connection.resumed_until) {
            (Some(claims), _) => claims.check_time(wall) == Err(Refusal::Expired),
            (None, end) => end.is_none_or(|end| wall >= end),
        }
    }

    /// Has [`upkeep`](Self::upkeep) done at `at`, if not sooner. What ends
    /// leaves its time standing: at worst, upkeep finds nothing to do.
    pub(crate) fn upkeep_by(&mut self, at: Instant) {
        self.upkeep_at = Some(self.upkeep_at.map_or(at, |planned| planned.min(at)));
    }

    /// When the next hold or lease ends.
    fn next_upkeep(&self, now: Instant) -> Option<Instant> {
        let wall = self.clock.at(now);
        let own = self
            .connections
            .iter()
            .filter_map(|(_, connection)| connection.lease_end())
            .filter(|end| *end > wall);
        let lease_end = own.chain(self.sessions.next_expiry(wall)).min();
        let lease_at = lease_end.map(|end| self.clock.instant_of(end));
        let holds = self
            .streams
            .iter()
            .filter_map(|(_, stream)| stream.hold_until);
        holds.chain(lease_at).min()
    }

    pub(crate) fn publishing_stream(&self, session: &SessionId) -> Option<&Stream> {
        let publishes = |stream: &Stream| {
            stream
                .publisher
                .as_ref()
                .is_some_and(|publisher| publisher.session == *session)
        };
        self.streams
            .iter()
            .map(|(_, stream)| stream)
            .find(|stream| publishes(stream))
    }

    /// The stream that a session publishes, or published last.
    pub(crate) fn stream_of(&self, session: &SessionId) -> Option<&Stream> {
        let mut streams = self.streams.iter().map(|(_, stream)| stream);
        streams.find(|stream| stream.last_session == *session)
    }

    pub(crate) fn players_of<'a>(
        &'a self,
        session: &'a SessionId,
    ) -> impl Iterator<Item = &'a Player> {
        let players = self.streams.iter().flat_map(|(_, stream)| &stream.players);
        players.filter(move |player| player.session == *session)
    }
}
