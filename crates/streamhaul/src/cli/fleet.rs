//! The fleet as a whole.

use clap::Subcommand;

use super::Target;

/// The fleet as a whole.
#[derive(Debug, Subcommand)]
pub enum Fleet {
    /// Shows when each region's bytes run out, and what to add before.
    Advice(Target),
}
