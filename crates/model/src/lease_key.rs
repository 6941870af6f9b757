//! The life of a key that signs leases.

use crate::words::words;

words! {
    /// What a lease key is for.
    ///
    /// ```text
    /// next ──▶ current ──▶ retired        rotation
    ///   └─────────┴───────────┴──▶ revoked
    /// ```
    pub enum LeaseKeyState {
        /// Believed by nodes, and signs nothing yet.
        Next = "next",
        /// Signs.
        Current = "current",
        /// Signs no more; what it signed is believed until it has run out.
        Retired = "retired",
        /// Nothing it signed is believed.
        Revoked = "revoked",
    }
}
