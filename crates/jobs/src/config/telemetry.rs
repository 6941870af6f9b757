//! How long telemetry is kept, and where it goes then.

use std::time::Duration;

use backup::{Archive, ArchiveConfig};
use serde::{Deserialize, Serialize};

use crate::jobs::KeptRows;

/// How long telemetry is kept, and where it goes then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// What becomes of events that their apps' `retention_days` keep no longer.
    pub retention: RetentionMode,
    /// Where they go when they are archived.
    pub archive: ArchiveConfig,
    /// How long what was no event is kept, in days.
    pub quarantine_days: u32,
    /// How long sums by the minute are kept, in days.
    pub rollup_days: u32,
    /// How long what apps sent by the day is kept, in days: at least 62, for quotas count by the month.
    pub usage_days: u32,
}

/// What becomes of telemetry whose time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// It stays: nothing is deleted.
    #[default]
    Keep,
    /// It goes into the archive, and is dropped when it has been read back.
    Archive,
    /// It is dropped, and is nowhere then.
    Drop,
}

const USAGE_DAYS_MIN: u32 = 62;

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            retention: RetentionMode::default(),
            archive: ArchiveConfig::default(),
            quarantine_days: 30,
            rollup_days: 400,
            usage_days: 1100,
        }
    }
}

impl TelemetryConfig {
    /// Whether anything is deleted at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.retention != RetentionMode::Keep
    }

    pub(crate) fn kept_rows(&self) -> KeptRows {
        let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
        KeptRows {
            quarantine: days(self.quarantine_days),
            rollups: days(self.rollup_days),
            usage: days(self.usage_days),
        }
    }

    /// The archive that is to be filled; none: there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_archive(&self) -> Result<Option<Archive>, backup::Error> {
        match self.retention {
            RetentionMode::Archive => Archive::open(&self.archive).map(Some),
            RetentionMode::Drop | RetentionMode::Keep => Ok(None),
        }
    }

    /// Checks what can be checked without looking at anything.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub fn validate(&self) -> Result<(), String> {
        let days = [
            ("quarantine_days", self.quarantine_days, 1),
            ("rollup_days", self.rollup_days, 1),
            ("usage_days", self.usage_days, USAGE_DAYS_MIN),
        ];
        for (name, days, least) in days {
            if !(least..=36_500).contains(&days) {
                return Err(format!("telemetry.{name}: {least} to 36500"));
            }
        }
        match self.retention {
            RetentionMode::Archive => self
                .archive
                .validate()
                .map_err(|said| format!("telemetry.{said}")),
            RetentionMode::Drop if self.archive.is_on() => Err(
                "telemetry: `retention = \"drop\"` archives nothing; remove `archive`, or set \"archive\""
                    .to_owned(),
            ),
            RetentionMode::Drop | RetentionMode::Keep => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_deleted_unless_somebody_says_what_becomes_of_it() {
        assert!(!TelemetryConfig::default().is_on());
        assert_eq!(TelemetryConfig::default().validate(), Ok(()));
        let with = |retention, archive: ArchiveConfig| {
            let config = TelemetryConfig {
                retention,
                archive,
                ..TelemetryConfig::default()
            };
            config.validate()
        };
        let place = ArchiveConfig {
            path: Some("/srv/archive".into()),
            unencrypted: true,
            ..ArchiveConfig::default()
        };
        let nowhere = ArchiveConfig::default();
        let said = with(RetentionMode::Archive, nowhere.clone()).unwrap_err();
        assert!(said.starts_with("telemetry.archive: needs"), "{said}");
        assert_eq!(with(RetentionMode::Archive, place.clone()), Ok(()));
        assert_eq!(with(RetentionMode::Drop, nowhere), Ok(()));
        assert!(with(RetentionMode::Drop, place).is_err());
    }

    #[test]
    fn quotas_must_find_what_they_count() {
        let config = TelemetryConfig {
            usage_days: 31,
            ..TelemetryConfig::default()
        };
        assert!(config.validate().unwrap_err().contains("usage_days"));
    }
}
