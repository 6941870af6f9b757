//! Apps whose developers send events.

use crate::words::words;

words! {
    /// What an app is granted unless somebody said otherwise.
    pub enum Tier {
        /// For a first look.
        Free = "free",
        /// For an app in use.
        Pro = "pro",
        /// For an app in wide use.
        Business = "business",
        /// Without bounds.
        Enterprise = "enterprise",
    }
}

impl Tier {
    /// Events in a second on the long run; none: any number.
    #[must_use]
    pub const fn rate_events(self) -> Option<u64> {
        match self {
            Self::Free => Some(50),
            Self::Pro => Some(1000),
            Self::Business => Some(10_000),
            Self::Enterprise => None,
        }
    }

    /// Events in a calendar month; none: any number.
    #[must_use]
    pub const fn quota_events(self) -> Option<u64> {
        match self {
            Self::Free => Some(1_000_000),
            Self::Pro => Some(100_000_000),
            Self::Business | Self::Enterprise => None,
        }
    }

    /// How long events are kept, days.
    #[must_use]
    pub const fn retention_days(self) -> u32 {
        match self {
            Self::Free => 30,
            Self::Pro => 90,
            Self::Business | Self::Enterprise => 365,
        }
    }
}
