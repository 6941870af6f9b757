//! The keys that sign leases.

use clap::Subcommand;

use super::Target;

/// The keys that sign leases.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Lists the keys.
    List(Target),
    /// Signs with the next key from now on, and makes another next one.
    ///
    /// Nodes know the next key already: no stream is cut, no caller refused. What the
    /// retired key signed is believed until it has run out.
    Rotate(Target),
    /// Believes nothing that a key signed any longer; for a key that leaked.
    ///
    /// Nodes cut the streams that live on its leases. Their senders and players call
    /// again, with the URLs they have, and are let in with leases of another key.
    Revoke {
        /// The key's id, as `streamhaul keys list` shows it
        kid: String,
        /// Why, for the audit
        #[arg(long)]
        reason: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}
