//! Which remotes are called, and when.
//!
//! A session's remotes come with its assignment and go with it; nothing from the
//! network can make a node call anybody. A *pull* stands in for a publisher: it
//! is called while nobody publishes the stream, and gives way to who calls with
//! the stream's key. A *push* is called while somebody publishes it.
//!
//! ```text
//! standby ─▶ waiting ─▶ looking up ─▶ (deriving) ─▶ calling ─▶ connected
//!    ▲          ▲            │             │           │           │
//!    └──────────┴────────────┴─────────────┴───────────┴───────────┘ a failure waits: 1 s, doubling to 30 s
//! ```
//!
//! Keys are derived for a remote that has a passphrase, new ones for each call.
//!
//! Remotes in a circle cannot melt: a stream has one publisher, so nothing that
//! goes round becomes more, and a pull whose packets are far from any player's
//! time is ended.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::session::Role;
use model::settings::Encryption;
use model::{SessionId, StreamId};

use crate::connections::Connection;
use crate::dials::{Dial, State};
use crate::reason::{GoneReason, RefusalReason};
use crate::relay::Relay;
use crate::remote::{Direction, LookupError, Remote, RemoteFailure, Remotes};
use crate::sessions::Permit;
use crate::{Event, Lookup};

/// How long the owner may take to find an address.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(10);

impl Direction {
    const fn role(self) -> Role {
        match self {
            Self::Pull => Role::Publish,
            Self::Push => Role::Play,
        }
    }
}

impl Relay {
    /// Takes over a session's remotes. What was there before and still is goes
    /// on; another pull than before takes over when it is connected.
    pub(crate) fn sync_remotes(&mut self, now: Instant, session: &SessionId, remotes: &Remotes) {
        let Remotes { pull, push } = remotes;
        let pull_now = pull.iter().map(|remote| (Direction::Pull, remote));
        let push_now = push.iter().map(|remote| (Direction::Push, remote));
        let mut wanted: Vec<_> = pull_now.chain(push_now).collect();
        for key in self.dials.of_session(session) {
            let Some(dial) = self.dials.dial(key) else {
                continue;
            };
            let kept = wanted.iter().position(|(direction, remote)| {
                *direction == dial.direction && **remote == dial.remote
            });
            match kept {
                Some(place) if self.is_of_session(dial) => {
                    wanted.swap_remove(place);
                }
                _ => self.drop_remote(now, key, pull.is_some()),
            }
        }
        for (direction, remote) in wanted {
            self.add_remote(now, session, direction, remote);
        }
        for key in self.dials.of_session(session) {
            self.dials.wake(now, key);
        }
    }

    /// Whether the session's lease is still for the stream that it was.
    fn is_of_session(&self, dial: &Dial) -> bool {
        let claims = self.sessions.claims(&dial.session, dial.direction.role());
        claims.is_some_and(|claims| claims.stream == dial.stream)
    }

    fn add_remote(
        &mut self,
        now: Instant,
        session: &SessionId,
        direction: Direction,
        remote: &Remote,
    ) {
        let Some(claims) = self.sessions.claims(session, direction.role()) else {
            return;
        };
        let stream = claims.stream.clone();
        if self.owns(&stream) {
            let dial = Dial::new(session.clone(), stream, direction, remote.clone());
            self.dials.add(now, dial);
        }
    }

    fn drop_remote(&mut self, now: Instant, key: u32, has_other_pull: bool) {
        let Some(dial) = self.dials.remove(key) else {
            return;
        };
        let State::Connected { connection, .. } = dial.state else {
            return;
        };
        if let Some(orphan) = self.connections.connection_mut(connection) {
            orphan.dial = None;
        }
        if dial.direction == Direction::Push || !has_other_pull {
            self.close(now, connection, GoneReason::Withdrawn);
        }
    }

    /// Calls nobody for this session any more; its connections are cut elsewhere.
    pub(crate) fn forget_remotes(&mut self, session: &SessionId) {
        for key in self.dials.of_session(session) {
            self.dials.remove(key);
        }
    }

    /// Looks again at the remotes that wait for a stream to begin, or to lose its
    /// publisher.
    pub(crate) fn wake_remotes(&mut self, now: Instant, stream: u32) {
        if let Some(stream) = self.streams.item(stream) {
            self.dials.wake_all_for(now, &stream.id);
        }
    }

    /// Ends the calls that would have sent a stream that is no more.
    pub(crate) fn stop_calls_for(&mut self, now: Instant, stream: u32) {
        for key in self.dials.calls_for(stream) {
            self.dials.wait_until(key, now);
        }
    }

    /// Does what is due for the remotes.
    pub(crate) fn handle_dial_timeouts(&mut self, now: Instant) {
        while let Some(key) = self.dials.pop_due(now) {
            match self.dials.dial(key).map(|dial| &dial.state) {
                Some(State::Waiting) => self.begin_attempt(now, key),
                Some(State::LookingUp { .. }) => {
                    self.remote_failed(now, key, RemoteFailure::NoAddress);
                }
                Some(State::Deriving { .. }) => {
                    self.remote_failed(now, key, RemoteFailure::NoKeys);
                }
                Some(State::Calling(_)) => self.go_on_calling(now, key),
                Some(State::Standby | State::Connected { .. }) | None => {}
            }
        }
    }

    fn begin_attempt(&mut self, now: Instant, key: u32) {
        match self.is_wanted(now, key) {
            Ok(true) => self.look_up(now, key),
            Ok(false) => self.dials.set_state(key, State::Standby, None),
            Err(reason) => self.remote_failed(now, key, RemoteFailure::Refused(reason)),
        }
    }

    /// Whether there is something to call for, and a place for it.
    fn is_wanted(&self, now: Instant, key: u32) -> Result<bool, RefusalReason> {
        let Some(dial) = self.dials.dial(key) else {
            return Ok(false);
        };
        let Some(permit) = self.remote_permit(now, dial) else {
            return Ok(false);
        };
        check_encryption(&permit, &dial.remote)?;
        match (dial.direction, self.publisher_of(&dial.stream)) {
            (Direction::Push, None) => Ok(false),
            (Direction::Push, Some(_)) => self.check_connections().map(|()| true),
            (Direction::Pull, Some(publisher)) if !publisher.is_withdrawn() => Ok(false),
            (Direction::Pull, _) => self.place_for_pull(&permit).map(|_| true),
        }
    }

    /// What the session's lease permits, while it is valid.
    pub(crate) fn remote_permit(&self, now: Instant, dial: &Dial) -> Option<Permit> {
        let claims = self.sessions.claims(&dial.session, dial.direction.role())?;
        let is_valid = claims.check_time(self.clock.at(now)).is_ok();
        (is_valid && claims.stream == dial.stream).then(|| Permit {
            claims: claims.clone(),
            own_lease: None,
            passphrase: None,
        })
    }

    /// The connection that publishes a stream now.
    fn publisher_of(&self, stream: &StreamId) -> Option<&Connection> {
        let (_, stream) = self.find_stream(stream)?;
        self.connections
            .connection(stream.publisher.as_ref()?.connection)
    }

    /// Each attempt asks for the address anew: names move.
    fn look_up(&mut self, now: Instant, key: u32) {
        let attempt = self.dials.next_attempt();
        let Some(dial) = self.dials.dial(key) else {
            return;
        };
        self.output.report(Event::Lookup(Lookup {
            session: dial.session.clone(),
            attempt,
            direction: dial.direction,
            host: dial.remote.host.clone(),
            port: dial.remote.port,
        }));
        let state = State::LookingUp { attempt };
        self.dials
            .set_state(key, state, Some(now + LOOKUP_PATIENCE));
    }

    /// Takes the answer to a lookup, when somebody still waits for it.
    pub(crate) fn handle_found(
        &mut self,
        now: Instant,
        session: &SessionId,
        attempt: u64,
        found: Result<SocketAddr, LookupError>,
    ) {
        let Some(key) = self.dials.by_lookup(session, attempt) else {
            return;
        };
        match found {
            Ok(to) => self.call_with_keys(now, key, attempt, to),
            Err(error) => self.remote_failed(now, key, error.into()),
        }
    }

    pub(crate) fn remote_failed(&mut self, now: Instant, key: u32, reason: RemoteFailure) {
        let Some(dial) = self.dials.dial(key) else {
            return;
        };
        self.output.report(Event::RemoteFailed {
            session: dial.session.clone(),
            direction: dial.direction,
            reason,
        });
        self.dials.back_off(now, key, Duration::ZERO);
    }

    /// A connection that we made has ended.
    pub(crate) fn remote_gone(&mut self, now: Instant, key: u32) {
        let Some(State::Connected { since, .. }) = self.dials.dial(key).map(|d| &d.state) else {
            return;
        };
        let lived = now.saturating_duration_since(*since);
        self.dials.back_off(now, key, lived);
    }
}

/// What must be encrypted goes to no remote, and comes from none, in the clear. A
/// remote with a passphrase is what the control plane wants it to be, whatever our
/// own callers do.
pub(crate) fn check_encryption(permit: &Permit, remote: &Remote) -> Result<(), RefusalReason> {
    match (permit.claims.encryption, &remote.secret) {
        (Some(Encryption::Required), None) => Err(RefusalReason::EncryptionRequired),
        (Some(Encryption::Required), Some(_))
        | (Some(Encryption::Off | Encryption::Optional) | None, _) => Ok(()),
    }
}
