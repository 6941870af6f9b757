//! Settings of an instance that have a TOML file of their own.

use std::path::Path;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// Reads the file that is given, else the instance's `own`. None: there is neither.
pub(crate) fn read<C: DeserializeOwned>(
    given: Option<&Path>,
    own: &Path,
    validate: impl FnOnce(&C) -> Result<(), String>,
) -> anyhow::Result<Option<C>> {
    let file = match given {
        Some(file) => file,
        None if own.exists() => own,
        None => return Ok(None),
    };
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let config: C = toml::from_str(&text).with_context(name)?;
    validate(&config)
        .map_err(anyhow::Error::msg)
        .with_context(name)?;
    Ok(Some(config))
}
