//! What each service is told.

mod api;
mod dns;
mod jobs;
mod metrics_gateway;
mod relay_node;

use std::net::SocketAddr;
use std::path::PathBuf;

use model::Region;
use secrecy::SecretString;
use service_kit::{KitConfig, Running};

use super::ports::Ports;
use crate::secrets::Secrets;
use crate::state_dir::StateDir;

/// How long a service may take to stop; with PostgreSQL everything takes less
/// than five seconds.
const SHUTDOWN_DEADLINE_SECONDS: u64 = 3;

/// What the services are told.
pub(super) struct Settings {
    pub(super) ports: Ports,
    pub(super) secrets: Secrets,
    pub(super) database_url: SecretString,
    pub(super) state_dir: StateDir,
    pub(super) public_host: String,
    pub(super) public_url: Option<String>,
    pub(super) smtp_url_file: Option<PathBuf>,
    pub(super) mail_from: Option<String>,
    pub(super) providers_file: Option<PathBuf>,
    pub(super) dns_file: Option<PathBuf>,
    pub(super) backups: Option<backup::Config>,
    pub(super) telemetry: ::jobs::TelemetryConfig,
    pub(super) asn_database: Option<PathBuf>,
    pub(super) region: Region,
}

/// Starts one service.
type Start = fn(&Settings) -> anyhow::Result<Running>;

/// The services, those that others need first.
pub(super) const ORDER: [Start; 4] = [
    api::start,
    metrics_gateway::start,
    jobs::start,
    relay_node::start,
];

impl Settings {
    /// Where the other services find api.
    fn api_grpc(&self) -> String {
        format!("http://{}", self.ports.api_grpc)
    }

    /// Where nodes report, and api asks what they said.
    fn gateway_grpc(&self) -> String {
        format!("http://{}", self.ports.gateway_grpc)
    }

    /// Where api finds the live view.
    fn gateway_http(&self) -> String {
        format!("http://{}", self.ports.gateway_http)
    }
}

fn kit(admin: SocketAddr) -> KitConfig {
    KitConfig {
        shutdown_deadline_seconds: SHUTDOWN_DEADLINE_SECONDS,
        ..KitConfig::with_admin_port(admin.port())
    }
}
