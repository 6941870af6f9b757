//! The media bytes of a session.

use std::ops::AddAssign;

/// Payload bytes that were moved for a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From its publishers.
    pub(crate) ingress_bytes: u64,
    /// To its players, retransmissions included.
    pub(crate) egress_bytes: u64,
}

impl Traffic {
    pub(crate) const fn received(bytes: u64) -> Self {
        Self {
            ingress_bytes: bytes,
            egress_bytes: 0,
        }
    }

    pub(crate) const fn sent(bytes: u64) -> Self {
        Self {
            ingress_bytes: 0,
            egress_bytes: bytes,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.ingress_bytes += other.ingress_bytes;
        self.egress_bytes += other.egress_bytes;
    }
}
