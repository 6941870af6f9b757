//! What people may do with an installation.

use crate::words::words;

words! {
    /// What a person may do with the operator's part of the API. Each may do what those
    /// before it may.
    pub enum OpsRole {
        /// Nothing.
        None = "none",
        /// Look.
        Viewer = "viewer",
        /// Act on nodes, sessions and bans.
        Operator = "operator",
        /// Act on people, keys and roles.
        Admin = "admin",
    }
}
