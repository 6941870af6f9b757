//! How a command reaches a service itself.

use std::path::PathBuf;

use clap::Args;

/// Which instance, and what its services are shown.
#[derive(Debug, Clone, Args)]
pub struct ServiceAccess {
    /// The state directory of a running instance
    #[arg(long, value_name = "DIR", env = "STREAMHAUL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// A file with the token that the services know each other by
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_SERVICE_TOKEN_FILE")]
    pub service_token_file: Option<PathBuf>,
    /// A file with the certificates of who signs that listener's [default: the public
    /// authorities]
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_GRPC_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Sends the token by http:// to a host that is neither this machine nor in a private
    /// network
    #[arg(long)]
    pub insecure: bool,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
