//! Relay sessions: a stream on a node, from start to stop.

use crate::words::words;
use crate::{NodeId, Region, SessionId, StreamId, TenantId, UnixMillis, UserId};

words! {
    /// What a session is doing. [`SessionState::after`] has the ways.
    ///
    /// ```text
    /// provisioning ──▶ active ◀──▶ grace
    ///       │             │          │
    ///       └─────────────┼──────────┴──▶ draining (its stream moves to a new session)
    ///                     ▼                  │
    ///                  stopped ◀─────────────┘
    /// ```
    pub enum SessionState {
        /// Chosen a node; the node has not confirmed its lease yet.
        Provisioning = "provisioning",
        /// The node holds the lease.
        Active = "active",
        /// Was published and is not now; the session waits for the publisher.
        Grace = "grace",
        /// Its stream moves to the session that supersedes it, which pulls from it
        /// until the publisher is there.
        Draining = "draining",
        /// Ended; it never comes back.
        Stopped = "stopped",
    }
}

/// What changes a session's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Happening {
    /// Its node says that it holds the session; nobody publishes to it, nor ever did.
    Held,
    /// Its node says that its publisher is connected.
    Published,
    /// Its node says that the publisher is gone.
    Unpublished,
    /// Another session was made that supersedes it.
    MoveBegan,
    /// That one ended before the publisher came to it.
    MoveUndone {
        /// Whether the publisher is still here.
        publishing: bool,
    },
    /// It was stopped, or its time was over.
    Ended,
}

impl SessionState {
    /// The state after something happened. What comes too late, twice or in the wrong
    /// order changes nothing.
    #[must_use]
    pub const fn after(self, happening: Happening) -> Self {
        match (self, happening) {
            (Self::Stopped, _) | (_, Happening::Ended) => Self::Stopped,
            (Self::Draining, Happening::MoveUndone { publishing: true })
            | (Self::Provisioning, Happening::Held)
            | (Self::Provisioning | Self::Active | Self::Grace, Happening::Published) => {
                Self::Active
            }
            (Self::Draining, Happening::MoveUndone { publishing: false })
            | (Self::Provisioning | Self::Active | Self::Grace, Happening::Unpublished) => {
                Self::Grace
            }
            (Self::Provisioning | Self::Active | Self::Grace, Happening::MoveBegan) => {
                Self::Draining
            }
            (state, _) => state,
        }
    }

    /// Whether the session still occupies its node.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Stopped)
    }
}

words! {
    /// What a lease lets its holder do on a node.
    pub enum Role {
        /// Send one stream to the node.
        Publish = "publish",
        /// Receive one stream from the node.
        Play = "play",
    }
}

/// A relay session as the control plane keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session's identifier.
    pub id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who started it.
    pub user_id: UserId,
    /// The stream slot whose keys it uses.
    pub stream_id: StreamId,
    /// The client's own name of the connection, such as `cam1`.
    pub connection_id: Option<String>,
    /// The node it is on.
    pub node_id: NodeId,
    /// The region of that node.
    pub region: Region,
    /// What it is doing.
    pub state: SessionState,
    /// Whether the node said that a publisher is connected.
    pub publishing: bool,
    /// When it was started.
    pub started_at: UnixMillis,
    /// When it lapses unless the node's heartbeat renews it.
    pub lease_expires_at: UnixMillis,
    /// When it ended.
    pub stopped_at: Option<UnixMillis>,
    /// Why it ended: `requested`, `lease_expired`, …
    pub stop_reason: Option<String>,
    /// The session whose stream it took over.
    pub supersedes: Option<SessionId>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::SessionState::{Active, Draining, Grace, Provisioning, Stopped};
    use super::*;

    const HAPPENINGS: [Happening; 7] = [
        Happening::Held,
        Happening::Published,
        Happening::Unpublished,
        Happening::MoveBegan,
        Happening::MoveUndone { publishing: true },
        Happening::MoveUndone { publishing: false },
        Happening::Ended,
    ];

    #[test]
    fn every_state_meets_every_happening() {
        let table = [
            (
                Provisioning,
                [
                    Active,
                    Active,
                    Grace,
                    Draining,
                    Provisioning,
                    Provisioning,
                    Stopped,
                ],
            ),
            (
                Active,
                [Active, Active, Grace, Draining, Active, Active, Stopped],
            ),
            (
                Grace,
                [Grace, Active, Grace, Draining, Grace, Grace, Stopped],
            ),
            (
                Draining,
                [
                    Draining, Draining, Draining, Draining, Active, Grace, Stopped,
                ],
            ),
            (Stopped, [Stopped; 7]),
        ];
        assert_eq!(table.map(|(state, _)| state), SessionState::ALL);
        for (state, expected) in table {
            assert_eq!(
                HAPPENINGS.map(|happening| state.after(happening)),
                expected,
                "{state}"
            );
        }
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop::sample::select(HAPPENINGS.to_vec())
    }

    proptest! {
        #[test]
        fn nothing_is_more_for_being_said_twice(
            history in prop::collection::vec(happening(), 0..20),
            happening in happening(),
        ) {
            let state = history.into_iter().fold(Provisioning, SessionState::after);
            let once = state.after(happening);
            prop_assert_eq!(once.after(happening), once);
        }

        #[test]
        fn what_has_ended_stays_so_and_nothing_is_provisioned_again(
            before in prop::collection::vec(happening(), 1..20),
            after in prop::collection::vec(happening(), 0..20),
        ) {
            let state = before.into_iter().fold(Provisioning, SessionState::after);
            let ended = state.after(Happening::Ended);
            prop_assert_eq!(after.iter().copied().fold(ended, SessionState::after), Stopped);
            let later = after.into_iter().fold(state, SessionState::after);
            prop_assert!(later != Provisioning || state == Provisioning);
        }
    }
}
