//! What users may do.

use clap::{Args, Subcommand};

use super::Target;
use super::budget::bytes;

/// Plans: how much users may do. `users plan` gives one to somebody.
#[derive(Debug, Subcommand)]
pub enum Plans {
    /// Lists the plans.
    List(Target),
    /// Makes a plan, or changes the one of that name: what is left out has no limit.
    Set(PlanSet),
}

/// What a plan includes.
#[derive(Debug, Args)]
pub struct PlanSet {
    /// Its name: 1 to 64 of [0-9a-z_-]; `standard` is what everybody has who has no other
    pub name: String,
    /// Sessions of one user at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub connections: u32,
    /// Hours of media in a calendar month (UTC)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=876_000))]
    pub hours: Option<u64>,
    /// What nodes receive and send in that time, such as 2TB
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub bytes: Option<u64>,
    /// Begins no session once one of them is used up; what runs goes on
    #[arg(long)]
    pub no_overage: bool,
    /// Which instance.
    #[command(flatten)]
    pub target: Target,
}
