//! The node's totals, monotonic since the relay was made.

use crate::reason::{DropReason, RefusalReason};

/// Plain counters; bytes are UDP payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub ingress_datagrams: u64,
    /// Bytes received.
    pub ingress_bytes: u64,
    /// Datagrams handed out to be sent.
    pub egress_datagrams: u64,
    /// Bytes handed out to be sent.
    pub egress_bytes: u64,
    drops: [u64; DropReason::COUNT],
    refusals: [u64; RefusalReason::COUNT],
}

impl Counters {
    /// Datagrams dropped for `reason`.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason.index()]
    }

    /// Datagrams dropped, all reasons.
    #[must_use]
    pub fn drops_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Callers refused for `reason`.
    #[must_use]
    pub fn refusals(&self, reason: RefusalReason) -> u64 {
        self.refusals[reason.index()]
    }

    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.drops[reason.index()] += 1;
    }

    pub(crate) fn refused(&mut self, reason: RefusalReason) {
        self.refusals[reason.index()] += 1;
    }
}
