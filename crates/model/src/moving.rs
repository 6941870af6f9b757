//! What becomes of a session whose stream moves to another.
//!
//! The old session drains; the one that supersedes it pulls the stream from it. The move is
//! over when the publisher has come to the new one, or when there is nothing left to wait
//! for; it is undone when the new one ended before, or when the publisher did not follow in
//! time: a publisher that is connected is never cut for a move.

use std::time::Duration;

use crate::UnixMillis;
use crate::session::SessionState;

/// How long the old session may be without its publisher before nothing is waited for: long
/// enough to come back after a break.
pub const EMPTY_MAX: Duration = Duration::from_secs(30);

/// A move as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Whether the publisher is still with the old session.
    pub publishing: bool,
    /// When it was last; none: never.
    pub published_at: Option<UnixMillis>,
    /// Until when the publisher may stay there without the move being undone.
    pub ends_at: UnixMillis,
    /// What the new one is doing.
    pub successor: SessionState,
    /// Whether the publisher has come to it.
    pub arrived: bool,
    /// How long the old session may be without its publisher: [`EMPTY_MAX`] or more.
    pub empty_max: Duration,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Waits,
    /// The old session ends, as [`SUPERSEDED`].
    Ends,
    /// The new one ends, if it has not, as [`NOT_FOLLOWED`]; the old one is what it was.
    Undone,
}

/// Why an old session ends whose stream has moved, and a new one that was moved on before
/// the publisher came to it.
pub const SUPERSEDED: &str = "superseded";
/// Why a new session ends whose publisher stayed with the old one.
pub const NOT_FOLLOWED: &str = "move_not_followed";
/// Why a new session ends whose stream was sent back before the publisher had left.
pub const UNDONE: &str = "move_undone";

impl Move {
    /// What becomes of the move at `now`. A successor that was stopped because somebody
    /// wanted the stream to end took the old session with it: one that ended alone was lost
    /// with its node, or nobody came to it.
    #[must_use]
    pub fn outcome(&self, now: UnixMillis) -> Outcome {
        match self.successor {
            SessionState::Stopped => Outcome::Undone,
            _ if self.arrived => Outcome::Ends,
            _ if self.publishing && self.ends_at <= now => Outcome::Undone,
            // Nothing is taken away before there is something in its place.
            SessionState::Provisioning => Outcome::Waits,
            _ if self.is_empty(now) => Outcome::Ends,
            _ => Outcome::Waits,
        }
    }

    fn is_empty(&self, now: UnixMillis) -> bool {
        let is_long_ago = |at| now.since(at) >= self.empty_max;
        !self.publishing && self.published_at.is_none_or(is_long_ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn under_way() -> Move {
        Move {
            publishing: true,
            published_at: Some(NOW),
            ends_at: NOW.plus(Duration::from_secs(600)),
            successor: SessionState::Active,
            arrived: false,
            empty_max: EMPTY_MAX,
        }
    }

    fn outcome(change: impl FnOnce(&mut Move)) -> Outcome {
        let mut it = under_way();
        change(&mut it);
        it.outcome(NOW)
    }

    #[test]
    fn it_waits_for_the_publisher_and_ends_when_it_has_come() {
        assert_eq!(outcome(|_| {}), Outcome::Waits);
        assert_eq!(outcome(|it| it.arrived = true), Outcome::Ends);
        let both = outcome(|it| {
            it.arrived = true;
            it.ends_at = NOW;
        });
        assert_eq!(both, Outcome::Ends);
    }

    #[test]
    fn a_publisher_that_did_not_follow_in_time_keeps_its_session() {
        assert_eq!(outcome(|it| it.ends_at = NOW), Outcome::Undone);
        let just_gone = outcome(|it| {
            it.ends_at = NOW;
            it.publishing = false;
        });
        assert_eq!(just_gone, Outcome::Waits, "it may be on its way");
    }

    #[test]
    fn an_old_session_without_a_publisher_ends_after_a_while() {
        let gone = |since| {
            outcome(|it| {
                it.publishing = false;
                it.published_at = since;
            })
        };
        assert_eq!(
            gone(Some(NOW.minus(Duration::from_secs(29)))),
            Outcome::Waits
        );
        assert_eq!(gone(Some(NOW.minus(EMPTY_MAX))), Outcome::Ends);
        assert_eq!(gone(None), Outcome::Ends);
        let patient = outcome(|it| {
            it.publishing = false;
            it.published_at = Some(NOW.minus(EMPTY_MAX));
            it.empty_max = EMPTY_MAX * 3;
        });
        assert_eq!(patient, Outcome::Waits);
        let unconfirmed = outcome(|it| {
            it.publishing = false;
            it.published_at = None;
            it.successor = SessionState::Provisioning;
        });
        assert_eq!(unconfirmed, Outcome::Waits);
    }

    #[test]
    fn a_successor_that_ended_alone_undoes_it() {
        let stopped = |publishing| {
            outcome(|it| {
                it.successor = SessionState::Stopped;
                it.publishing = publishing;
            })
        };
        assert_eq!(stopped(true), Outcome::Undone);
        assert_eq!(stopped(false), Outcome::Undone);
    }
}
