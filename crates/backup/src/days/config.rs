//! Where days of telemetry go, and who can read them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{DestinationConfig, S3Config};

/// What it is called in messages.
const NAME: &str = "archive";

/// Where days of telemetry go, and who can read them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveConfig {
    /// A directory; this or `s3`.
    pub path: Option<PathBuf>,
    /// A bucket.
    pub s3: Option<S3Config>,
    /// Who can read them: age recipients, `age1…`.
    pub recipients: Vec<String>,
    /// Leaves them readable for everybody who gets at them.
    pub unencrypted: bool,
    /// A file with the age identity that reads them. Where `jobs` has it, what was stored is uncompressed
    /// and counted before it is believed; else its bytes are compared only.
    pub identity_file: Option<PathBuf>,
}

impl ArchiveConfig {
    /// Whether there is a place for them.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.path.is_some() || self.s3.is_some()
    }

    /// Checks what can be checked without looking at anything.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub fn validate(&self) -> Result<(), String> {
        if !self.is_on() {
            return Err("archive: needs `path` or `s3`".to_owned());
        }
        if self.recipients.is_empty() != self.unencrypted {
            return Err("archive: set `recipients`, or `unencrypted = true`".to_owned());
        }
        let said = self.destination().validate();
        said.map_err(|said| said.replacen("backups: ", "", 1))
    }

    pub(super) fn destination(&self) -> DestinationConfig {
        DestinationConfig {
            name: NAME.to_owned(),
            path: self.path.clone(),
            s3: self.s3.clone(),
            ..DestinationConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_one_place_and_says_who_reads_it() {
        let valid = ArchiveConfig {
            path: Some("/srv/archive".into()),
            unencrypted: true,
            ..ArchiveConfig::default()
        };
        assert_eq!(valid.validate(), Ok(()));
        let refused = |change: fn(&mut ArchiveConfig), word: &str| {
            let mut config = valid.clone();
            change(&mut config);
            let said = config.validate().unwrap_err();
            assert!(said.contains(word), "{said}");
        };
        refused(|config| config.path = None, "path");
        refused(|config| config.path = Some("here".into()), "/");
        refused(|config| config.s3 = Some(S3Config::default()), "either");
        refused(|config| config.unencrypted = false, "recipients");
        refused(
            |config| config.recipients = vec!["age1x".to_owned()],
            "recipients",
        );
    }
}
