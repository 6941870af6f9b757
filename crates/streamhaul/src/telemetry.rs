//! How long an instance keeps telemetry, and where it goes then.

use std::path::Path;

use jobs::TelemetryConfig;

use crate::settings_file;
use crate::state_dir::StateDir;

/// What the file says: the one that is given, else that in the state directory, else that all is kept.
pub(crate) fn configured(
    given: Option<&Path>,
    state: &StateDir,
) -> anyhow::Result<TelemetryConfig> {
    let config = settings_file::read(given, &state.telemetry_file(), TelemetryConfig::validate)?;
    Ok(config.unwrap_or_default())
}
