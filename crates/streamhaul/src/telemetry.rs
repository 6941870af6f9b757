//! How long an instance keeps telemetry, and where it goes then.

use std::path::Path;

use anyhow::Context as _;
use jobs::TelemetryConfig;

use crate::state_dir::StateDir;

/// What the file says: the one that is given, else that in the state directory, else that all is kept.
pub(crate) fn configured(
    given: Option<&Path>,
    state: &StateDir,
) -> anyhow::Result<TelemetryConfig> {
    let own = state.telemetry_file();
    let file = match given {
        Some(file) => file,
        None if own.exists() => &own,
        None => return Ok(TelemetryConfig::default()),
    };
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let config: TelemetryConfig = toml::from_str(&text).with_context(name)?;
    config
        .validate()
        .map_err(anyhow::Error::msg)
        .with_context(name)?;
    Ok(config)
}
