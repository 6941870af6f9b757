//! What becomes of a session whose stream moves to another.
//!
//! The old session drains; the one that supersedes it pulls the stream from it. The move is
//! over when the publisher has come to the new one, or when there is nothing left to wait
//! for; it is undone when the new one was lost before.

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
    /// When the old session ends at the latest.
    pub ends_at: UnixMillis,
    /// What the new one is doing.
    pub successor: SessionState,
    /// Whether the publisher has come to it.
    pub arrived: bool,
    /// Why the new one ended.
    pub stop_reason: Option<String>,
    /// How long the old session may be without its publisher: [`EMPTY_MAX`] or more.
    pub empty_max: Duration,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Waits,
    /// The old session ends for this reason.
    Ends(String),
    /// The old session is what it was.
    Undone,
}

/// Why an old session ends whose stream has moved.
pub const SUPERSEDED: &str = "superseded";

/// Why a session ended that nobody wanted to end: its node was lost.
const LOST: [&str; 2] = ["lease_expired", "node_lost"];

impl Move {
    /// What becomes of the move at `now`.
    #[must_use]
    pub fn outcome(&self, now: UnixMillis) -> Outcome {
        match (self.successor, self.stop_reason.as_deref()) {
            (SessionState::Stopped, Some(reason)) if LOST.contains(&reason) => Outcome::Undone,
            (SessionState::Stopped, reason) => {
                Outcome::Ends(reason.unwrap_or(SUPERSEDED).to_owned())
            }
            _ if self.arrived || self.ends_at <= now => Outcome::Ends(SUPERSEDED.to_owned()),
            // Nothing is taken away before there is something in its place.
            (SessionState::Provisioning, _) => Outcome::Waits,
            _ if self.is_empty(now) => Outcome::Ends(SUPERSEDED.to_owned()),
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
            stop_reason: None,
            empty_max: EMPTY_MAX,
        }
    }

    fn outcome(change: impl FnOnce(&mut Move)) -> Outcome {
        let mut it = under_way();
        change(&mut it);
        it.outcome(NOW)
    }

    fn superseded() -> Outcome {
        Outcome::Ends(SUPERSEDED.to_owned())
    }

    #[test]
    fn it_waits_for_the_publisher_and_ends_when_it_has_come() {
        assert_eq!(outcome(|_| {}), Outcome::Waits);
        assert_eq!(outcome(|it| it.arrived = true), superseded());
        assert_eq!(outcome(|it| it.ends_at = NOW), superseded());
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
        assert_eq!(gone(Some(NOW.minus(EMPTY_MAX))), superseded());
        assert_eq!(gone(None), superseded());
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
    fn a_successor_that_was_lost_undoes_it_and_one_that_was_stopped_ends_both() {
        let stopped = |reason: &str| {
            outcome(|it| {
                it.successor = SessionState::Stopped;
                it.stop_reason = Some(reason.to_owned());
            })
        };
        assert_eq!(stopped("node_lost"), Outcome::Undone);
        assert_eq!(stopped("lease_expired"), Outcome::Undone);
        assert_eq!(stopped("requested"), Outcome::Ends("requested".to_owned()));
        assert_eq!(stopped("superseded"), superseded());
    }
}
