//! Where backups go, who can read them, and how long they are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where backups go, who can read them, and how long they are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where they go: two places, one of them elsewhere, make 3-2-1 with the database itself.
    pub destinations: Vec<DestinationConfig>,
    /// Who can read them: age recipients, `age1…`.
    pub recipients: Vec<String>,
    /// Leaves them readable for everybody who gets at them.
    pub unencrypted: bool,
    /// A file with the age identity that reads them; only restoring and verifying need it.
    pub identity_file: Option<PathBuf>,
    /// A file with the URL of the server itself, where the usual one leads to a proxy that pools
    /// transactions, or to a role that may not [default: the usual one].
    pub database_url_file: Option<PathBuf>,
    /// Where a verified backup is restored for a while, and the log is on its way [default: the
    /// system's temporary directory].
    pub work_dir: Option<PathBuf>,
    /// The directory of `pg_basebackup` and `pg_receivewal` [default: the newest on the system].
    pub bin_dir: Option<PathBuf>,
    /// The replication slot that keeps the log on the server until it is stored.
    pub slot: String,
    /// When `jobs` makes one each day, UTC, such as `03:15`; nothing else starts it.
    pub daily_at: Option<jiff::civil::Time>,
    /// When `jobs` verifies the newest each day, UTC; needs `identity_file`.
    pub verify_at: Option<jiff::civil::Time>,
    /// How often `jobs` stores the log: what may be lost, in seconds; 0 is never, and then only
    /// the instants of the backups themselves can be restored.
    pub log_seconds: u32,
}

/// A place for backups: a directory or a bucket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DestinationConfig {
    /// What it is called in messages and metrics.
    pub name: String,
    /// A directory; this or `s3`.
    pub path: Option<PathBuf>,
    /// A bucket.
    pub s3: Option<S3Config>,
    /// How long backups are kept there.
    pub keep: Keep,
}

/// A bucket of Amazon S3, or of what speaks like it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Such as `https://s3.eu-central-1.amazonaws.com`; without one, Amazon's of the region.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The region; many others than Amazon take any.
    pub region: String,
    /// What the names of all objects begin with.
    pub prefix: String,
    /// The key's name.
    pub access_key_id: String,
    /// A file with the key's secret.
    pub secret_access_key_file: PathBuf,
    /// Whether the endpoint may be without TLS.
    pub allow_http: bool,
}

/// How many backups are kept: the newest of each of the last so many days, weeks and months
/// that have one, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// Days.
    pub daily: usize,
    /// Weeks, from Monday.
    pub weekly: usize,
    /// Months.
    pub monthly: usize,
    /// For so many days back any instant can be restored; before, those of the backups.
    pub log_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            destinations: Vec::new(),
            recipients: Vec::new(),
            unencrypted: false,
            identity_file: None,
            database_url_file: None,
            work_dir: None,
            bin_dir: None,
            slot: "streamhaul_backup".to_owned(),
            daily_at: None,
            verify_at: None,
            log_seconds: 300,
        }
    }
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            prefix: String::new(),
            access_key_id: String::new(),
            secret_access_key_file: PathBuf::new(),
            allow_http: false,
        }
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 4,
            monthly: 6,
            log_days: 7,
        }
    }
}

impl Config {
    /// Whether there is a place for backups.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.destinations.is_empty()
    }

    /// Checks what can be checked without looking at anything.
    ///
    /// # Errors
    /// One sentence that names the setting.
    pub fn validate(&self) -> Result<(), String> {
        if !self.is_on() {
            return Ok(());
        }
        if self.recipients.is_empty() != self.unencrypted {
            return Err("backups: set `recipients`, or `unencrypted = true`".to_owned());
        }
        if self.verify_at.is_some() && self.identity_file.is_none() && !self.unencrypted {
            return Err("backups.verify_at: needs `identity_file`".to_owned());
        }
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if self.slot.is_empty() || self.slot.len() > 63 || !self.slot.bytes().all(valid) {
            return Err("backups.slot: 1 to 63 of a–z, 0–9 and _".to_owned());
        }
        for (index, destination) in self.destinations.iter().enumerate() {
            destination.validate()?;
            let same = |other: &DestinationConfig| other.name == destination.name;
            if self.destinations[..index].iter().any(same) {
                return Err(format!("backups: two destinations `{}`", destination.name));
            }
        }
        Ok(())
    }
}

impl DestinationConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        let name = &self.name;
        if name.is_empty() || name.len() > 40 {
            return Err("backups.destinations: each needs a `name` of 1 to 40 bytes".to_owned());
        }
        if self.keep.daily == 0 {
            return Err(format!("backups: {name}: keep.daily is at least 1"));
        }
        match (&self.path, &self.s3) {
            (Some(path), None) if path.is_absolute() => Ok(()),
            (Some(_), None) => Err(format!("backups: {name}: `path` begins with /")),
            (None, Some(s3)) if s3.bucket.is_empty() || s3.access_key_id.is_empty() => {
                Err(format!(
                    "backups: {name}: s3 needs `bucket`, `access_key_id` and `secret_access_key_file`"
                ))
            }
            (None, Some(_)) => Ok(()),
            _ => Err(format!("backups: {name}: either `path` or `s3`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config {
            destinations: vec![DestinationConfig {
                name: "disk".to_owned(),
                path: Some("/srv/backups".into()),
                ..DestinationConfig::default()
            }],
            recipients: vec!["age1x".to_owned()],
            ..Config::default()
        }
    }

    #[test]
    fn what_is_missing_or_double_is_named() {
        assert_eq!(valid().validate(), Ok(()));
        assert_eq!(Config::default().validate(), Ok(()));
        let refused = |change: fn(&mut Config), word: &str| {
            let mut config = valid();
            change(&mut config);
            let said = config.validate().unwrap_err();
            assert!(said.contains(word), "{said}");
        };
        refused(|config| config.recipients.clear(), "recipients");
        refused(|config| config.unencrypted = true, "recipients");
        refused(|config| config.slot = "My slot".to_owned(), "slot");
        refused(
            |config| config.verify_at = Some(jiff::civil::time(4, 0, 0, 0)),
            "identity_file",
        );
        refused(|config| config.destinations[0].path = None, "either");
        refused(|config| config.destinations[0].path = Some("x".into()), "/");
        refused(|config| config.destinations[0].keep.daily = 0, "daily");
        refused(
            |config| config.destinations.push(config.destinations[0].clone()),
            "two",
        );
        refused(
            |config| config.destinations[0].s3 = Some(S3Config::default()),
            "either",
        );
    }
}
