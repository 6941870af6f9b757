//! Relay nodes.

use std::time::Duration;

use clap::Subcommand;
use model::Region;

use super::{Budget, Target, duration, region};

/// Relay nodes.
#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// Lists the nodes.
    List(Target),
    /// Lists the nodes that are drained: how many sessions each still has, and until when.
    Drains(Target),
    /// Makes a node and prints the token it joins with.
    Add {
        /// Your name for it
        name: String,
        /// Where it stands
        #[arg(long, value_parser = region)]
        region: Option<Region>,
        /// How many sessions it may hold
        #[arg(long, value_name = "N")]
        sessions_max: Option<u32>,
        /// Trusts it from the start, instead of giving it few sessions until it was well for
        /// a while
        #[arg(long)]
        no_probation: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Shows everything that is known of a node.
    Show {
        /// The node's id or name
        node: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a node no new sessions; those it has go on.
    Drain {
        /// The node's id or name
        node: String,
        /// Ends what is left after this time, such as 30m, 2h or 1h30m
        #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "undo")]
        deadline: Option<Duration>,
        /// Why, for the audit
        #[arg(long)]
        reason: Option<String>,
        /// Takes it back
        #[arg(long)]
        undo: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a node that is under suspicion no new sessions; it stays connected and keeps
    /// those it has.
    Quarantine {
        /// The node's id or name
        node: String,
        /// Why, for the audit
        #[arg(long)]
        reason: Option<String>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Ends a quarantine; the node has to earn trust again.
    Release {
        /// The node's id or name
        node: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Shuts a node out: its credential opens nothing and its sessions end.
    Ban {
        /// The node's id or name
        node: String,
        /// Why, for the audit
        #[arg(long)]
        reason: Option<String>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lets a banned node in again; it has to earn trust again.
    Unban {
        /// The node's id or name
        node: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Limits how many sessions a node may hold.
    Limits {
        /// The node's id or name
        node: String,
        /// How many sessions it may hold
        #[arg(long, value_name = "N", required_unless_present = "none")]
        sessions_max: Option<u32>,
        /// As many as the node says itself
        #[arg(long, conflicts_with = "sessions_max")]
        none: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Removes a node that is drained, offline, banned or never came, and frees its name.
    Remove {
        /// The node's id or name
        node: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Byte budgets: what a node's provider offers, and what is left of it.
    #[command(subcommand)]
    Budget(Budget),
}
