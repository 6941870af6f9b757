//! Relay sessions: a stream on a node, from start to stop.

use crate::words::words;
use crate::{NodeId, Region, SessionId, StreamId, TenantId, UnixMillis, UserId};

words! {
    /// What a session is doing.
    ///
    /// ```text
    /// provisioning ──▶ active ◀──▶ grace ──▶ stopped
    ///       └────────────┴─────────────────────▶ stopped
    /// ```
    pub enum SessionState {
        /// Chosen a node; the node has not confirmed its lease yet.
        Provisioning = "provisioning",
        /// The node holds the lease.
        Active = "active",
        /// Was published and is not now; the session waits for the publisher.
        Grace = "grace",
        /// Ended; it never comes back.
        Stopped = "stopped",
    }
}

impl SessionState {
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
}
