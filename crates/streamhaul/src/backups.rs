//! Where an instance's backups go.

use std::path::Path;

use anyhow::Context as _;
use backup::{Config, DestinationConfig, Identities};
use secrecy::ExposeSecret as _;

use crate::secrets::{Secrets, write_private};
use crate::settings_file;
use crate::state_dir::StateDir;

/// What the file says: the one that is given, else that in the state directory. None: there is
/// neither.
pub(crate) fn configured(given: Option<&Path>, state: &StateDir) -> anyhow::Result<Option<Config>> {
    settings_file::read(given, &state.backups_file(), |config: &Config| {
        config.validate()?;
        match config.is_on() {
            true => Ok(()),
            false => Err("has no [[destinations]]".to_owned()),
        }
    })
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
