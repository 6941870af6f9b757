//! Secrets: read from files, never printed.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Serializer;

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error("cannot read the secret file {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("the secret file {path} is empty")]
    Empty {
        /// The file.
        path: String,
    },
}

/// Reads a secret, without the white space around it.
///
/// # Errors
/// When the file cannot be read or is empty; the error names it.
pub fn read_file(path: impl AsRef<Path>) -> Result<SecretString, Error> {
    let shown = path.as_ref().display().to_string();
    let text = std::fs::read_to_string(path.as_ref()).map_err(|source| Error::Read {
        path: shown.clone(),
        source,
    })?;
    match text.trim() {
        "" => Err(Error::Empty { path: shown }),
        secret => Ok(SecretString::from(secret)),
    }
}

/// A secret that is set either itself or by a file that holds it: the file's, if any.
///
/// # Errors
/// Those of [`read_file`].
pub fn read_either(value: &SecretString, file: Option<&Path>) -> Result<SecretString, Error> {
    file.map_or_else(|| Ok(value.clone()), read_file)
}

/// Serialises a secret as `[redacted]`, or as nothing when it is empty: for
/// `#[serde(serialize_with = "service_kit::secret::redacted")]`.
///
/// # Errors
/// Those of the serializer.
pub fn redacted<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.expose_secret().is_empty() {
        ""
    } else {
        "[redacted]"
    })
}

/// The same for a secret that may be absent.
///
/// # Errors
/// Those of the serializer.
#[allow(clippy::ref_option)] // the signature serde asks for
pub fn redacted_option<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some("[redacted]"),
        None => serializer.serialize_none(),
    }
}
