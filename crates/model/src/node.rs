//! Relay nodes as the control plane sees them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::words::words;
use crate::{NodeId, Region, SessionId, UnixMillis};

words! {
    /// What a node is to the control plane: follows from its health, the operator's intent
    /// and its byte budget.
    pub enum NodeState {
        /// Created by an operator; has never connected.
        New = "new",
        /// Connected, and not trusted with many sessions yet.
        Probation = "probation",
        /// Connected and well.
        Active = "active",
        /// Connected and strained: others come first.
        Degraded = "degraded",
        /// Its provider slowed its port.
        Throttled = "throttled",
        /// Its provider lets no stream through.
        Exhausted = "exhausted",
        /// Keeps its sessions, takes no new ones.
        Draining = "draining",
        /// Was drained: its last session is gone.
        Drained = "drained",
        /// Not heard in time.
        Offline = "offline",
        /// Under suspicion: keeps its sessions, takes no new ones.
        Quarantined = "quarantined",
        /// Shut out.
        Banned = "banned",
    }
}

words! {
    /// What is observed of a node, whatever anybody wants of it.
    pub enum NodeHealth {
        /// Has never connected.
        New = "new",
        /// Heard, but not for long enough.
        Probation = "probation",
        /// Heard and well.
        Active = "active",
        /// Heard and strained.
        Degraded = "degraded",
        /// Not heard in time.
        Offline = "offline",
    }
}

words! {
    /// What the operator wants of a node; no heartbeat undoes it.
    pub enum NodeIntent {
        /// That it takes sessions.
        None = "none",
        /// That it takes no new ones and loses those it has.
        Draining = "draining",
        /// That it takes no new ones while somebody looks at it.
        Quarantined = "quarantined",
        /// That it is shut out.
        Banned = "banned",
    }
}

/// A node as the control plane keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The node's identifier.
    pub id: NodeId,
    /// The operator's name for it.
    pub name: String,
    /// Where it stands.
    pub region: Region,
    /// What it is to the control plane.
    pub state: NodeState,
    /// What is observed of it.
    pub health: NodeHealth,
    /// Where phones and players reach it; known after its first Hello.
    pub address: Option<NodeAddress>,
    /// The software version it reported.
    pub version: Option<String>,
    /// How many sessions it may hold.
    pub sessions_max: u32,
    /// How many live sessions the control plane has placed on it.
    pub sessions: u32,
    /// The last heartbeat.
    pub heartbeat_at: Option<UnixMillis>,
}

/// Where phones and players reach a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// Host name or address.
    pub public_host: String,
    /// The port for every protocol (5000).
    pub udp_port: u16,
    /// The compatibility port for publishers (4001).
    pub publish_port: u16,
    /// The compatibility port for players (4000).
    pub play_port: u16,
}

/// A node as the control plane tells other services.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeFacts {
    /// The node.
    pub node_id: NodeId,
    /// The operator's name for it.
    pub name: String,
    /// Where it stands.
    pub region: Region,
    /// The software version it reported; empty before it connected.
    pub version: String,
    /// What it is to the control plane.
    pub state: NodeState,
    /// Live sessions that are placed on it.
    pub sessions: u32,
    /// How many may be.
    pub sessions_max: u32,
    /// Since its last heartbeat; absent before the first.
    pub heartbeat_age: Option<Duration>,
    /// Its byte budget, when it has one.
    pub budget: Option<BudgetFacts>,
}

/// A node's byte budget as the control plane tells other services.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetFacts {
    /// Bytes that are planned with; absent when there is no such limit.
    pub limit_bytes: Option<u64>,
    /// Those used.
    pub used_bytes: Option<u64>,
    /// The share that will be used when the window ends; above 1 it does not last.
    pub projected_ratio: f64,
    /// When it is used up at the rate of now; absent: not before it is renewed.
    pub exhausted_at: Option<UnixMillis>,
}

/// The first word of a node on a new connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Who it is; must match the credential.
    pub node_id: NodeId,
    /// Its software version.
    pub version: String,
    /// The region it was configured with.
    pub region: Region,
    /// Where it is reached.
    pub address: NodeAddress,
    /// How many sessions it can hold.
    pub sessions_max: u32,
    /// Random at process start.
    pub boot_id: String,
    /// The sessions it holds now.
    pub held: Vec<HeldLease>,
    /// Whether it encrypts the connections that it makes itself, where it is to.
    pub encrypts_remotes: bool,
}

/// A session that a node holds a lease for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// The session.
    pub session_id: SessionId,
    /// Whether its publisher is connected.
    pub publishing: bool,
    /// How many players are connected.
    pub players: u32,
    /// Whether its publisher is a remote that the node called itself.
    pub pulled: bool,
    /// Media bytes received for it since boot.
    pub ingress_bytes: u64,
    /// Media bytes sent for it since boot, retransmissions included.
    pub egress_bytes: u64,
    /// The smoothed round trip to its publisher in microseconds, if that called and was
    /// measured.
    pub publisher_rtt_us: Option<u32>,
}

/// What a node moved for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTraffic {
    /// The session.
    pub session_id: SessionId,
    /// Media bytes received since boot.
    pub ingress_bytes: u64,
    /// Media bytes sent since boot, retransmissions included.
    pub egress_bytes: u64,
    /// Whether what is published comes from a remote that the node called itself.
    pub pulled: bool,
    /// The smoothed round trip to the publisher in microseconds, if that called and was
    /// measured.
    pub publisher_rtt_us: Option<u32>,
}

/// A node's regular sign of life.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// Random at process start; the counters restart with it.
    pub boot_id: String,
    /// Sessions held.
    pub sessions: u32,
    /// Publishers connected.
    pub publishers: u32,
    /// Players connected.
    pub players: u32,
    /// UDP payload bytes received since boot.
    pub ingress_bytes_total: u64,
    /// UDP payload bytes sent since boot.
    pub egress_bytes_total: u64,
    /// Share of one core the data thread uses, 0 to 1.
    pub data_thread_load_ratio: f64,
    /// The sessions whose publisher is connected.
    pub publishing: Vec<SessionId>,
    /// Every session the node holds a lease for.
    pub held: Vec<SessionId>,
    /// Those that are published, or moved any byte since boot.
    pub traffic: Vec<SessionTraffic>,
    /// Whether the node refuses new sessions.
    pub draining: bool,
    /// The node's clock.
    pub observed_at: UnixMillis,
}

impl Heartbeat {
    /// The sessions whose publisher called the node: not those that it pulls.
    #[must_use]
    pub fn called(&self) -> Vec<&SessionId> {
        let pulled: BTreeSet<_> = self.pulled().collect();
        let publishing = self.publishing.iter();
        publishing.filter(|id| !pulled.contains(id)).collect()
    }

    /// The sessions that the node pulls from elsewhere.
    pub fn pulled(&self) -> impl Iterator<Item = &SessionId> {
        let pulled = self.traffic.iter().filter(|traffic| traffic.pulled);
        pulled.map(|traffic| &traffic.session_id)
    }
}

words! {
    /// What happened to a session on its node.
    pub enum SessionEventKind {
        /// A publisher was admitted.
        PublisherConnected = "publisher_connected",
        /// The publisher closed, timed out or was cut.
        PublisherGone = "publisher_gone",
        /// A player was admitted.
        PlayerConnected = "player_connected",
        /// A player closed, timed out or was cut.
        PlayerGone = "player_gone",
        /// A caller with this session's key was refused.
        Refused = "refused",
        /// The remote that the session pulls from could not be reached, or refused.
        PullFailed = "pull_failed",
        /// A remote that the session pushes to could not be reached, or refused.
        PushFailed = "push_failed",
    }
}

/// Something that happened to a session on its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// The session.
    pub session_id: SessionId,
    /// What happened.
    pub kind: SessionEventKind,
    /// The typed reason, such as `lease_expired`; empty when there is none.
    pub reason: String,
    /// Whether it is about a publisher that the node called itself.
    pub pulled: bool,
    /// The node's clock.
    pub observed_at: UnixMillis,
}
