//! The names of stream slots.

use clap::Subcommand;

use super::Target;

/// The names of stream slots in the DNS.
#[derive(Debug, Subcommand)]
pub enum Dns {
    /// Shows the zone, and the records of slots, those with trouble first.
    Status {
        /// How many records
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Has every record written again, and now.
    ///
    /// For when somebody changed the zone by hand, or a provider lost it; records are
    /// written again by themselves every few hours.
    Sync(Target),
}
