//! jobs in this process.

use jobs::Config;
use service_kit::Running;

use super::{Settings, dns, kit};

pub(super) fn start(settings: &Settings) -> anyhow::Result<Running> {
    let config = Config {
        kit: kit(settings.ports.admin_jobs),
        listen_grpc: settings.ports.jobs_grpc,
        database_url: settings.database_url.clone(),
        service_token_file: settings.secrets.service_token(),
        api_grpc: settings.api_grpc(),
        gateway_grpc: Some(settings.gateway_grpc()),
        dns: dns::read(settings)?.jobs,
        backups: settings.backups.clone().unwrap_or_default(),
        telemetry: settings.telemetry.clone(),
        ..Config::default()
    };
    Ok(service_kit::launch("jobs", config, jobs::run)?)
}
