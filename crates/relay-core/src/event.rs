//! What a relay reports about its sessions.

use std::net::SocketAddr;

use model::SessionId;

use crate::reason::{GoneReason, RefusalReason};
use crate::remote::{Direction, Lookup, RemoteFailure};

/// Something that happened to a session. Addresses are for debug logs only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A publisher was admitted.
    PublisherConnected {
        /// The session.
        session: SessionId,
        /// Where it calls from.
        peer: SocketAddr,
        /// Whether it replaced a publisher that was still connected.
        takeover: bool,
        /// Whether it is a remote that the node called.
        pulled: bool,
    },
    /// The publisher left; its players are held.
    PublisherGone {
        /// The session.
        session: SessionId,
        /// Why.
        reason: GoneReason,
        /// Whether it was a remote that the node called.
        pulled: bool,
    },
    /// A player was admitted.
    PlayerConnected {
        /// The session.
        session: SessionId,
        /// Where it calls from.
        peer: SocketAddr,
    },
    /// A player left.
    PlayerGone {
        /// The session.
        session: SessionId,
        /// Why.
        reason: GoneReason,
    },
    /// A caller was refused; its address was proven.
    Refused {
        /// The session, when the caller's key named one.
        session: Option<SessionId>,
        /// Why.
        reason: RefusalReason,
    },
    /// The owner is to find a host's address and to answer with
    /// [`Command::Found`](crate::Command::Found).
    Lookup(Lookup),
    /// A remote of the session is not connected; it is called again.
    RemoteFailed {
        /// The session.
        session: SessionId,
        /// What it is for.
        direction: Direction,
        /// Why.
        reason: RemoteFailure,
    },
}
