//! The words for how sessions begin and end.

/// What came of a session's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Its node confirmed it.
    Active,
    /// No node could take it.
    NoCapacity,
    /// Its node never confirmed it.
    NotConfirmed,
    /// Its node fell silent before.
    NodeLost,
    /// It was stopped before.
    Abandoned,
}

impl Setup {
    /// Every outcome.
    pub const ALL: &'static [Self] = &[
        Self::Active,
        Self::NoCapacity,
        Self::NotConfirmed,
        Self::NodeLost,
        Self::Abandoned,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NoCapacity => "no_capacity",
            Self::NotConfirmed => "not_confirmed",
            Self::NodeLost => "node_lost",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Somebody said so.
    Requested,
    /// It was as long as one may be.
    MaxDuration,
    /// Its publisher did not come back.
    GraceOver,
    /// Its node held it no longer.
    LeaseExpired,
    /// Its node fell silent.
    NodeLost,
    /// Its node never confirmed it.
    NotConfirmed,
    /// Its node was drained.
    NodeDrained,
    /// Its node, or whose or what it was, was banned.
    Banned,
    /// Its stream went on elsewhere.
    Superseded,
}

impl Ended {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Requested,
        Self::MaxDuration,
        Self::GraceOver,
        Self::LeaseExpired,
        Self::NodeLost,
        Self::NotConfirmed,
        Self::NodeDrained,
        Self::Banned,
        Self::Superseded,
    ];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::MaxDuration => "max_duration",
            Self::GraceOver => "grace_over",
            Self::LeaseExpired => "lease_expired",
            Self::NodeLost => "node_lost",
            Self::NotConfirmed => "not_confirmed",
            Self::NodeDrained => "node_drained",
            Self::Banned => "banned",
            Self::Superseded => "superseded",
        }
    }
}
