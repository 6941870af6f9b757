//! `streamhaul sessions`.

use std::path::PathBuf;

use clap::Subcommand;
use model::Region;

use super::{Target, region};

/// Everybody's sessions, for operators; `relay` has your own.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// Lists sessions, the newest first.
    List {
        /// Only on this node, by id or name
        #[arg(long)]
        node: Option<String>,
        /// Only of this user, by id
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// Only in this state; `live` is all but stopped
        #[arg(long, default_value = "live", value_parser = ["live", "all", "provisioning", "active", "grace", "draining", "stopped"])]
        state: String,
        /// Only what was started before this session
        #[arg(long, value_name = "SESSION")]
        before: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Shows a session: whose, where, since when, what it carried and what it did.
    Show {
        /// The session's id
        session: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Reports a session from its beginning to its end: bit rate, loss, round trip, links, interruptions.
    ///
    /// It may be over; what is kept of it is kept for months.
    Report {
        /// The session's id
        session: String,
        /// Writes a page with plots to this file instead; `-`: to standard output
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        html: Option<PathBuf>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Ends a session: its sender and players are cut, and no new one is made for it.
    Stop {
        /// The session's id
        session: String,
        /// Why, for the audit
        #[arg(long)]
        reason: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Moves a session's stream to another node, make before break.
    ///
    /// The new node has the picture from the old one until the sender follows; the
    /// session's user is told the new URLs.
    Migrate {
        /// The session's id
        session: String,
        /// Only to this region
        #[arg(long, value_parser = region)]
        region: Option<Region>,
        /// Only to this node, by id or name
        #[arg(long)]
        node: Option<String>,
        /// Why, for the audit
        #[arg(long)]
        reason: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}
