//! What strangers may have under way.

/// How many strangers may be under way at the same time: anybody may begin, so there must
/// be an end to it, and one network must not take every place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingMax {
    /// From anywhere; for another, the oldest of the origin that has the most is dropped.
    pub all: u32,
    /// From one origin; another is refused.
    pub of_origin: u32,
}
