//! What the control plane's commands do.

use std::collections::BTreeSet;
use std::time::Instant;

use lease::KeySet;
use model::SessionId;
use model::session::Role;

use crate::reason::GoneReason;
use crate::relay::Relay;
use crate::sessions::end_of;
use crate::settings::StreamSettings;
use crate::wall_clock::WallClock;
use crate::{Command, CommandError, Grant};

impl Relay {
    pub(crate) fn carry_out(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        match command {
            Command::Assign(grant) => return self.assign(now, *grant),
            Command::Revoke { session, .. } => self.revoke(now, &BTreeSet::from([&session])),
            Command::Drain(draining) => self.draining = draining,
            Command::Limits { sessions_max } => self.sessions.set_sessions_max(sessions_max),
            Command::Keys(keys) => self.believe(now, keys),
            Command::Resync { grants, keep } => return self.resync(now, grants, &keep),
            Command::Ban(banned) => self.ban(now, banned),
            Command::Clock(wall) => {
                self.clock = WallClock::new(now, wall);
                self.upkeep_by(now);
            }
            Command::Found {
                session,
                attempt,
                address,
            } => self.handle_found(now, &session, attempt, address),
        }
        Ok(())
    }

    /// What lives on the leases of a key that is believed no more ends.
    fn believe(&mut self, now: Instant, keys: KeySet) {
        self.sessions.set_keys(keys);
        let disowned: Vec<_> = self.sessions.disowned().cloned().collect();
        self.revoke(now, &disowned.iter().collect());
        let disowned = self.connections.iter().filter(|(_, connection)| {
            let lease = connection.own_lease.as_ref();
            lease.is_some_and(|lease| !self.sessions.believes(&lease.kid))
        });
        let disowned: Vec<u32> = disowned.map(|(key, _)| key).collect();
        for key in disowned {
            self.close(now, key, GoneReason::Revoked);
        }
    }

    fn revoke(&mut self, now: Instant, sessions: &BTreeSet<&SessionId>) {
        for session in sessions {
            self.sessions.revoke(session);
        }
        self.cut(now, sessions, GoneReason::Revoked);
    }

    /// A draining node still renews what it holds.
    fn assign(&mut self, now: Instant, mut grant: Grant) -> Result<(), CommandError> {
        let session = grant.session().clone();
        let is_held = self.sessions.contains(&session);
        if self.draining && !is_held {
            return Err(CommandError::Draining);
        }
        let remotes = std::mem::take(&mut grant.remotes);
        self.sessions.assign(grant)?;
        if is_held {
            // What the new leases no longer cover ends.
            self.upkeep_by(now);
        }
        self.renew_limits(now, &session);
        for role in [Role::Publish, Role::Play] {
            if let Some(claims) = self.sessions.claims(&session, role) {
                self.upkeep_by(self.clock.instant_of(end_of(claims)));
            }
        }
        self.sync_remotes(now, &session, &remotes);
        Ok(())
    }

    /// The session's publisher goes on under the new lease.
    fn renew_limits(&mut self, now: Instant, session: &SessionId) {
        let Some(claims) = self.sessions.claims(session, Role::Publish) else {
            return;
        };
        let stream = self.streams_by_id.get(&claims.stream);
        if let Some(stream) = stream.and_then(|key| self.streams.item_mut(*key))
            && stream.last_session == *session
        {
            stream.limit_rate(now, claims.rate_bps_max);
            stream.renew(StreamSettings::of(claims, &self.config));
        }
    }

    fn resync(
        &mut self,
        now: Instant,
        grants: Vec<Grant>,
        keep: &[SessionId],
    ) -> Result<(), CommandError> {
        let keep: BTreeSet<_> = keep
            .iter()
            .chain(grants.iter().map(Grant::session))
            .collect();
        let gone = self.sessions.assigned_except(&keep);
        self.revoke(now, &gone.iter().collect());
        let results = grants.into_iter().map(|grant| self.assign(now, grant));
        results.fold(Ok(()), Result::and)
    }
}
