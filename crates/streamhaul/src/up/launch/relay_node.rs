//! relay-node in this process.

use relay_node::Config;
use service_kit::Running;

use super::{Settings, kit};
use crate::up::enrol;

pub(super) fn start(settings: &Settings) -> anyhow::Result<Running> {
    let ports = &settings.ports;
    let config = Config {
        kit: kit(ports.admin_relay_node),
        listen_udp: ports.relay_udp,
        listen_publish: ports.relay_publish,
        listen_play: ports.relay_play,
        listen_stats: ports.relay_stats,
        state_dir: settings.state_dir.relay_node(),
        join_token: enrol::join_token(settings)?,
        api_grpc: settings.api_grpc(),
        gateway_grpc: Some(settings.gateway_grpc()),
        asn_database: settings.asn_database.clone(),
        public_host: settings.public_host.clone(),
        region: settings.region.clone(),
        ..Config::default()
    };
    Ok(service_kit::launch("relay-node", config, relay_node::run)?)
}
