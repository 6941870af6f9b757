//! Relay nodes.

use clap::Subcommand;
use model::Region;

use super::{Budget, Target, region};

/// Relay nodes.
#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// Lists the nodes.
    List(Target),
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
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a node no new sessions; those it has go on.
    Drain {
        /// The node's id or name
        node: String,
        /// Takes it back
        #[arg(long)]
        undo: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Byte budgets: what a node's provider offers, and what is left of it.
    #[command(subcommand)]
    Budget(Budget),
}
