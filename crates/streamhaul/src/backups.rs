//! Where an instance's backups go.

use std::path::Path;

use anyhow::Context as _;
use backup::{Config, DestinationConfig, Identities};
use secrecy::ExposeSecret as _;

use crate::secrets::{Secrets, write_private};
use crate::state_dir::StateDir;

/// What the file says: the one that is given, else that in the state directory. None: there is
/// neither.
pub(crate) fn configured(given: Option<&Path>, state: &StateDir) -> anyhow::Result<Option<Config>> {
    let own = state.backups_file();
    let file = match given {
        Some(file) => file,
        None if own.exists() => &own,
        None => return Ok(None),
    };
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let config: Config = toml::from_str(&text).with_context(name)?;
    config
        .validate()
        .map_err(anyhow::Error::msg)
        .with_context(name)?;
    if !config.is_on() {
        anyhow::bail!("{}: has no [[destinations]]", name());
    }
    Ok(Some(config))
}

/// Without a file: the directory `backups`, for a key of the instance.
pub(crate) fn default(state: &StateDir) -> anyhow::Result<Config> {
    let key = Secrets::at(&state.secrets()).backup_key();
    if !key.exists() {
        let identity = backup::generate_identity();
        write_private(&key, identity.expose_secret().as_bytes())
            .with_context(|| format!("cannot write {}", key.display()))?;
    }
    Ok(Config {
        destinations: vec![DestinationConfig {
            name: "disk".to_owned(),
            path: Some(state.backups()),
            ..DestinationConfig::default()
        }],
        recipients: Identities::read(&key)?.recipients(),
        identity_file: Some(key),
        // Nobody would store the log in between.
        log_seconds: 0,
        ..Config::default()
    })
}
