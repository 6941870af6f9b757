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
    /// Callers admitted.
    pub admitted: u64,
    drops: [u64; DropReason::COUNT],
    refusals: [u64; RefusalReason::COUNT],
}

impl std::ops::AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        self.ingress_datagrams += other.ingress_datagrams;
        self.ingress_bytes += other.ingress_bytes;
        self.egress_datagrams += other.egress_datagrams;
        self.egress_bytes += other.egress_bytes;
        self.admitted += other.admitted;
        for (count, more) in self.drops.iter_mut().zip(other.drops) {
            *count += more;
        }
        for (count, more) in self.refusals.iter_mut().zip(other.refusals) {
            *count += more;
        }
    }
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

    /// Counts a datagram that was queued to be sent, or had no room.
    pub(crate) fn sent(&mut self, is_queued: bool, length: usize) {
        if is_queued {
            self.egress_datagrams += 1;
            self.egress_bytes += length as u64;
        } else {
            self.dropped(DropReason::TransmitFull);
        }
    }

    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.drops[reason.index()] += 1;
    }

    pub(crate) fn refused(&mut self, reason: RefusalReason) {
        self.refusals[reason.index()] += 1;
    }
}
