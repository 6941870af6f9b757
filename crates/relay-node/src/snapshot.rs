//! What the data thread says about itself when it is asked.

use std::io;
use std::time::Duration;

use model::node::HeldLease;
use model::telemetry::{NodeSample, SessionSample};
use relay_core::Counters;

/// One moment of the data thread. Counters are monotonic since its start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Every session held.
    pub(crate) held: Vec<HeldLease>,
    /// A sample of each.
    pub(crate) samples: Vec<SessionSample>,
    /// The relay's totals.
    pub(crate) counters: Counters,
    /// Publishers connected.
    pub(crate) publishers: u32,
    /// Players connected.
    pub(crate) players: u32,
    /// Time spent working, not waiting.
    pub(crate) busy: Duration,
    /// Receive calls that brought something, and those that failed.
    pub(crate) receive: ReceiveStats,
    /// Send calls and what became of them.
    pub(crate) send: SendStats,
    /// Events that nobody took in time.
    pub(crate) events_dropped: u64,
}

/// The receive side's own counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReceiveStats {
    /// Receive calls that brought datagrams.
    pub(crate) calls: u64,
    /// Receive calls that failed.
    pub(crate) errors: u64,
    /// Datagrams that cannot be answered: their source has port 0.
    pub(crate) unanswerable: u64,
}

/// The send side's own counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SendStats {
    /// Send calls.
    pub(crate) calls: u64,
    /// Sends refused for size.
    pub(crate) too_big: u64,
    /// Sends without a route.
    pub(crate) unreachable: u64,
    /// Sends refused by a firewall or policy.
    pub(crate) denied: u64,
    /// Sends refused for anything else.
    pub(crate) other: u64,
    /// Datagrams dropped because too much waited for full sockets.
    pub(crate) queue_full: u64,
}

impl SendStats {
    /// Counts a failed send by its cause.
    pub(crate) fn failed(&mut self, error: &io::Error) {
        let counter = match error.kind() {
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => &mut self.unreachable,
            io::ErrorKind::PermissionDenied => &mut self.denied,
            _ if quinn_udp::is_msg_size_err(error) => &mut self.too_big,
            _ => &mut self.other,
        };
        *counter += 1;
    }
}

impl Snapshot {
    /// The node's totals as telemetry has them.
    pub(crate) fn node_sample(&self) -> NodeSample {
        NodeSample {
            ingress_bytes_total: self.counters.ingress_bytes,
            egress_bytes_total: self.counters.egress_bytes,
            ingress_datagrams_total: self.counters.ingress_datagrams,
            egress_datagrams_total: self.counters.egress_datagrams,
            dropped_datagrams_total: self.counters.drops_total(),
            publishers: self.publishers,
            players: self.players,
        }
    }
}
