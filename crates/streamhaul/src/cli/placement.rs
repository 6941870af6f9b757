//! Where sessions go, and why.

use clap::Subcommand;
use model::Region;

use super::{Target, region};

/// Where sessions go, and why.
#[derive(Debug, Subcommand)]
pub enum Placement {
    /// Shows where a session would go now: every node with each term of its cost, or why
    /// it is out. With a session, why that one is where it is.
    Explain {
        /// A session that was started
        #[arg(long, conflicts_with_all = ["region", "mbps", "players", "hours"])]
        session: Option<String>,
        /// The region it would ask for
        #[arg(long, value_parser = region)]
        region: Option<Region>,
        /// The stream's rate
        #[arg(long, value_name = "N")]
        mbps: Option<f64>,
        /// How many players it would have
        #[arg(long, value_name = "N")]
        players: Option<u32>,
        /// Whose stream it would be: the round trips that their streams measured count
        #[arg(long, value_name = "USER_ID", conflicts_with = "session")]
        user: Option<String>,
        /// How long it would last
        #[arg(long, value_name = "N")]
        hours: Option<f64>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}
