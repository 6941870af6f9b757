//! A relay node by itself: a control plane of tests' own gives it its sessions.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::house::Service;
use crate::http::Client;
use crate::plane::{self, Plane};
use crate::ports::Ports;
use crate::program;

// Places in the block of ports.
const UDP: u16 = 0;
const PUBLISH: u16 = 1;
const PLAY: u16 = 2;
const STATS: u16 = 3;
const ADMIN: u16 = 4;

/// The command that runs a node which enrols with `plane`; its state goes below
/// `dir`.
///
/// # Errors
/// When the node's binary is not built.
pub fn command(plane: &Plane, ports: Ports, dir: &Path) -> anyhow::Result<Command> {
    let local = |port| format!("127.0.0.1:{}", ports.at(port));
    let state = dir.join(format!("node-{}", ports.at(UDP)));
    let settings = [
        ("LISTEN_UDP", local(UDP)),
        ("LISTEN_PUBLISH", local(PUBLISH)),
        ("LISTEN_PLAY", local(PLAY)),
        ("LISTEN_STATS", local(STATS)),
        ("KIT__ADMIN__LISTEN", local(ADMIN)),
        ("KIT__LOG__FILTER", "warn".into()),
        ("STATE_DIR", state.display().to_string()),
        ("JOIN_TOKEN", plane::JOIN_TOKEN.into()),
        ("API_GRPC", plane.url()),
        // All callers are one host here.
        ("LIMITS__HANDSHAKES_PER_SECOND_MAX", "1000000".into()),
        ("LIMITS__CONNECTIONS_PER_SOURCE_MAX", "16384".into()),
    ];
    let mut command = Command::new(program::built(Service::RelayNode.binary())?);
    for (name, value) in settings {
        set(&mut command, name, &value);
    }
    Ok(command)
}

/// Sets one of the node's settings, such as `LATENCY_MARGIN_MS`.
pub fn set(command: &mut Command, name: &str, value: &str) {
    command.env(format!("STREAMHAUL_RELAY_NODE__{name}"), value);
}

/// Where the node takes every protocol.
#[must_use]
pub fn address(ports: Ports) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ports.at(UDP)))
}

/// The node's admin port.
#[must_use]
pub fn admin(ports: Ports) -> Client {
    Client::new(ports.at(ADMIN), None)
}
