//! Makes this machine's relay node known to the control plane, once.

use anyhow::Context as _;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::launch::Settings;
use crate::client::{Client, Error};

/// Earlier starts that never got to enrol leave their names taken.
const NAMES_MAX: u32 = 20;

/// A token for the relay node to join with, unless it has joined already.
pub(super) fn join_token(settings: &Settings) -> anyhow::Result<Option<SecretString>> {
    if settings.state_dir.relay_node().join("node.json").exists() {
        return Ok(None);
    }
    let api = format!("http://{}", settings.ports.api_http);
    let client = Client::new(&api, settings.secrets.read_admin_token()?);
    let made = make(&client, settings.region.as_str()).context("enrol the relay node")?;
    let token = made["join_token"]
        .as_str()
        .context("enrol the relay node: api gave no join token")?;
    Ok(Some(token.into()))
}

fn make(client: &Client, region: &str) -> Result<Value, Error> {
    let mut number = 1;
    loop {
        let name = match number {
            1 => "local".to_owned(),
            _ => format!("local-{number}"),
        };
        let request = json!({"name": name, "region": region, "probation": false});
        match client.post("/api/v1/ops/nodes", &request, None) {
            Err(Error::Refused { status: 409, .. }) if number < NAMES_MAX => number += 1,
            outcome => return outcome,
        }
    }
}
