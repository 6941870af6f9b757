//! What the control plane tells a relay.

use std::net::SocketAddr;

use model::{Passphrase, SessionId, StreamKey, UnixMillis};

use crate::{BannedAddresses, Grant, LookupError, Remote};

/// A directive. The relay applies it at once, to live connections too.
#[derive(Debug, Clone)]
pub enum Command {
    /// Hold this session; replaces what was held under the same id.
    Assign(Box<Grant>),
    /// Forget this session and cut its connections.
    Revoke {
        /// The session.
        session: SessionId,
        /// Why, in the control plane's word.
        reason: String,
    },
    /// Take no new sessions (or take them again); live ones go on.
    Drain(bool),
    /// Hold at most so many sessions.
    Limits {
        /// The new bound.
        sessions_max: u32,
    },
    /// Verify leases with these keys from now on. What lives on the leases of a key that
    /// is not among them is cut.
    Keys(lease::KeySet),
    /// Hold exactly these sessions: assign each, revoke all others that were
    /// assigned. Sessions admitted by their own lease are not touched.
    Resync {
        /// What each is permitted from now on.
        grants: Vec<Grant>,
        /// Sessions that go on as they are: their new leases did not verify.
        keep: Vec<SessionId>,
    },
    /// Answer these addresses no longer, and cut what comes from them. Replaces the set
    /// before.
    Ban(BannedAddresses),
    /// The wall clock's reading now.
    Clock(UnixMillis),
    /// The answer to an [`Event::Lookup`](crate::Event::Lookup). An address that
    /// may be called, or why there is none; late answers change nothing.
    Found {
        /// The lookup's session.
        session: SessionId,
        /// The lookup's attempt.
        attempt: u64,
        /// Where to call.
        address: Result<SocketAddr, LookupError>,
    },
}

/// A session's permissions on this node.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The session.
    pub session: SessionId,
    /// The key and lease of its publisher.
    pub publish: Option<KeyedLease>,
    /// The key and lease of its players.
    pub play: Option<KeyedLease>,
    /// Where the stream comes from while nobody calls with its publish key.
    /// Needs `publish`: the connection lives on that lease.
    pub pull: Option<Remote>,
    /// Where the stream is sent besides those who call with its play key, at
    /// most [`PUSHES_MAX`](crate::PUSHES_MAX). Needs `play`.
    pub push: Vec<Remote>,
}

/// A stream key, the signed lease that backs it, and the secret beside it.
#[derive(Debug, Clone)]
pub struct KeyedLease {
    /// What callers put into their stream id.
    pub key: StreamKey,
    /// The signed permission. It says whether callers encrypt.
    pub lease: String,
    /// What they encrypt with.
    pub passphrase: Option<Passphrase>,
}

/// Why a directive was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The lease does not verify.
    #[error("lease refused: {}", .0.as_str())]
    Lease(lease::Refusal),
    /// The lease is for another session or role, or a remote has none.
    #[error("the lease does not match the assignment")]
    Mismatch,
    /// More pushes than a session may have.
    #[error("too many remotes")]
    TooManyRemotes,
    /// As many sessions are held as the node may hold.
    #[error("no room for another session")]
    OverCapacity,
    /// The node takes no new sessions.
    #[error("the node is draining")]
    Draining,
}

impl CommandError {
    /// The error's word, as it is acknowledged.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Lease(refusal) => refusal.as_str(),
            Self::Mismatch => "lease_mismatch",
            Self::TooManyRemotes => "too_many_remotes",
            Self::OverCapacity => "over_capacity",
            Self::Draining => "draining",
        }
    }
}
