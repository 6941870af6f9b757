//! `streamhaul webhooks`.

use clap::Subcommand;

use super::Target;

/// Where you are told what your sessions do.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Lists the endpoints.
    List(Target),
    /// Makes an endpoint and prints the secret that its signatures are checked with.
    Add {
        /// Such as https://example.com/hooks
        url: String,
        /// Only this event; may be given again. Without it, all of them
        #[arg(long = "event", value_name = "EVENT", value_parser = ["session.up", "session.down", "session.moved", "session.ended"])]
        events: Vec<String>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Removes an endpoint: what it was not told yet it never is.
    Remove {
        /// The endpoint's id
        webhook: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}
