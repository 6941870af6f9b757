//! What the control plane's commands do.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::reason::GoneReason;
use crate::relay::{Relay, WallClock};
use crate::{Assignment, Command, CommandError};

impl Relay {
    pub(crate) fn carry_out(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        match command {
            Command::Assign(assignment) => return self.assign(now, &assignment),
            Command::Revoke { session, .. } => {
                self.sessions.revoke(&session);
                self.cut(now, &session, GoneReason::Revoked);
            }
            Command::Drain(draining) => self.draining = draining,
            Command::Limits { sessions_max } => self.sessions.set_sessions_max(sessions_max),
            Command::Keys(keys) => self.sessions.set_keys(keys),
            Command::Resync(assignments) => return self.resync(now, &assignments),
            Command::Clock(wall) => self.clock = WallClock::new(now, wall),
        }
        Ok(())
    }

    /// A draining node still renews what it holds.
    fn assign(&mut self, now: Instant, assignment: &Assignment) -> Result<(), CommandError> {
        if self.draining && !self.sessions.contains(&assignment.session) {
            return Err(CommandError::Draining);
        }
        self.sessions.assign(assignment, self.clock.at(now))
    }

    fn resync(&mut self, now: Instant, assignments: &[Assignment]) -> Result<(), CommandError> {
        let keep: BTreeSet<_> = assignments
            .iter()
            .map(|assignment| &assignment.session)
            .collect();
        for session in self.sessions.assigned_except(&keep) {
            self.sessions.revoke(&session);
            self.cut(now, &session, GoneReason::Revoked);
        }
        let results = assignments
            .iter()
            .map(|assignment| self.assign(now, assignment));
        results.fold(Ok(()), Result::and)
    }
}
