//! metrics-gateway in this process.

use metrics_gateway::{Config, EventsConfig};
use service_kit::Running;

use super::{Settings, kit};

pub(super) fn start(settings: &Settings) -> anyhow::Result<Running> {
    let config = Config {
        kit: kit(settings.ports.admin_metrics_gateway),
        listen_http: settings.ports.gateway_http,
        listen_grpc: settings.ports.gateway_grpc,
        database_url: settings.database_url.clone(),
        events: EventsConfig {
            sealing_key_file: Some(settings.secrets.app_sealing_key()),
            ..EventsConfig::default()
        },
        service_token_file: settings.secrets.service_token(),
        api_grpc: settings.api_grpc(),
        ..Config::default()
    };
    Ok(service_kit::launch(
        "metrics-gateway",
        config,
        metrics_gateway::run,
    )?)
}
