//! A log between gateways that take events and those that write them.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

/// JetStream, the log of a NATS server, between gateways.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// The servers, `nats://` or `tls://`, with commas between them and what signs in before
    /// the host; this or `url_file`. Without one there is no log.
    #[serde(serialize_with = "service_kit::secret::redacted")]
    pub url: SecretString,
    /// A file that holds the servers.
    pub url_file: Option<PathBuf>,
    /// What this gateway does with the log.
    pub role: NatsRole,
    /// When an edge says that events are kept.
    pub acknowledge: Acknowledge,
    /// Servers that each have the log, 1 to 5; counts when the log is made.
    pub replicas: u8,
    /// What it may hold, bytes, at least 67108864; counts when the log is made.
    pub bytes_max: u64,
}

/// What a gateway does with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NatsRole {
    /// It puts what it takes into the log.
    Edge,
    /// It writes to the database what is in the log, and what it takes itself.
    Writer,
}

/// When events are said to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// When a writer has committed them.
    Commit,
    /// When the log has them.
    Log,
}

const BYTES_MIN: u64 = 64 << 20;

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            url_file: None,
            role: NatsRole::Writer,
            acknowledge: Acknowledge::Commit,
            replicas: 1,
            bytes_max: 10 << 30,
        }
    }
}

impl NatsConfig {
    /// Whether there is a log.
    pub(crate) fn is_set(&self) -> bool {
        !self.url.expose_secret().is_empty() || self.url_file.is_some()
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        if self.is_set() && !cfg!(feature = "nats") {
            return Err(
                "events.nats: this gateway is built without it; build with --features nats"
                    .to_owned(),
            );
        }
        if !(1..=5).contains(&self.replicas) {
            return Err("events.nats.replicas: 1 to 5".to_owned());
        }
        if !(BYTES_MIN..=i64::MAX as u64).contains(&self.bytes_max) {
            return Err(format!("events.nats.bytes_max: at least {BYTES_MIN}"));
        }
        Ok(())
    }
}
