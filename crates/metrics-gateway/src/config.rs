//! This service's configuration.

mod events;
mod nats;
mod queries;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use events::{EventsConfig, SpoolConfig};
use ipnet::IpNet;
pub use nats::{Acknowledge, NatsConfig, NatsRole};
pub use queries::QueriesConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::config::{check_files, check_positive};
use service_kit::http::{Bounds, Terms};
use service_kit::places::{Places, network};
use service_kit::tls::is_private_address;
use service_kit::{Flag, KitConfig, ServiceConfig};
use storage::telemetry::session_steps::Kept;

use crate::live::Limits;

/// How long a request's head may take, and a viewer's connection idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// This machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// How long a connection from our own networks may idle.
const API_IDLE_MAX: Duration = Duration::from_secs(120);

/// Configuration of the metrics-gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Admin listener, logs, traces, shutdown.
    pub kit: KitConfig,
    /// Where viewers connect.
    pub listen_http: SocketAddr,
    /// Where nodes report.
    pub listen_grpc: SocketAddr,
    /// The database; this or `database_url_file`. Without one the gateway shows what is live
    /// and keeps nothing.
    #[serde(serialize_with = "service_kit::secret::redacted")]
    pub database_url: SecretString,
    /// A file that holds the database's URL.
    pub database_url_file: Option<PathBuf>,
    /// Connections to the database, 3 to 256.
    pub database_connections_max: u32,
    /// Events of apps.
    pub events: EventsConfig,
    /// Questions about them.
    pub queries: QueriesConfig,
    /// Networks of the proxies in front, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// A file that holds the token which the services know each other by.
    pub service_token_file: PathBuf,
    /// The api's gRPC listener.
    pub api_grpc: String,
    /// How far the history of a session goes back; a point a second.
    pub history_seconds: u32,
    /// The memory that all histories share; when it is used up, the longest get shorter.
    pub history_bytes_max: usize,
    /// How long steps of ten seconds are kept in the database, 1 to 3650 days.
    pub keep_ten_seconds_days: u32,
    /// How long steps of a minute are kept there, 1 to 3650 days.
    pub keep_minutes_days: u32,
    /// Sessions with a history.
    pub sessions_max: usize,
    /// A session without a report for this long is stale.
    pub stale_after_seconds: u32,
    /// Nodes reporting at the same time.
    pub nodes_max: usize,
    /// Viewers of all sessions.
    pub viewers_max: usize,
    /// Viewers of one session.
    pub viewers_per_session_max: usize,
    /// HTTP connections at the same time; more are closed.
    pub connections_max: usize,
    /// And from one address outside our own networks, where the api brings everybody's.
    pub connections_each_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kit: KitConfig::with_admin_port(9104),
            listen_http: SocketAddr::from(([127, 0, 0, 1], 8081)),
            listen_grpc: SocketAddr::from(([127, 0, 0, 1], 7004)),
            database_url: SecretString::default(),
            database_url_file: None,
            database_connections_max: 8,
            events: EventsConfig::default(),
            queries: QueriesConfig::default(),
            trusted_proxies: LOOPBACK.map(network_of).to_vec(),
            service_token_file: PathBuf::new(),
            api_grpc: "http://127.0.0.1:7001".to_owned(),
            history_seconds: 3600,
            history_bytes_max: 256 * 1024 * 1024,
            keep_ten_seconds_days: 7,
            keep_minutes_days: 90,
            sessions_max: 2000,
            stale_after_seconds: 5,
            nodes_max: 1000,
            viewers_max: 1000,
            viewers_per_session_max: 16,
            connections_max: 2048,
            connections_each_max: 64,
        }
    }
}

fn network_of(text: &str) -> IpNet {
    text.parse().expect("a network, written here")
}

impl ServiceConfig for Config {
    fn kit(&self) -> &KitConfig {
        &self.kit
    }

    fn flags() -> &'static [Flag] {
        &[Flag {
            name: "spool",
            value: "DIR",
            help: "Keep events in this directory while the database is away (events.spool.dir)",
            setting: "events.spool.dir",
        }]
    }

    fn descriptor_sets() -> &'static [&'static [u8]] {
        &[proto::FILE_DESCRIPTOR_SET]
    }

    fn validate(&self) -> Result<(), String> {
        check_files(&[("service_token_file", &self.service_token_file)])?;
        self.kit.grpc.check("api_grpc", &self.api_grpc)?;
        self.check_database()?;
        self.check_events()?;
        if !(1..=3600).contains(&self.history_seconds) {
            return Err("history_seconds: 1 to 3600".to_owned());
        }
        for (name, days) in [
            ("keep_ten_seconds_days", self.keep_ten_seconds_days),
            ("keep_minutes_days", self.keep_minutes_days),
        ] {
            if !(1..=3650).contains(&days) {
                return Err(format!("{name}: 1 to 3650"));
            }
        }
        if !(2..=300).contains(&self.stale_after_seconds) {
            return Err("stale_after_seconds: 2 to 300".to_owned());
        }
        check_positive(&[
            ("history_bytes_max", self.history_bytes_max),
            ("sessions_max", self.sessions_max),
            ("nodes_max", self.nodes_max),
            ("viewers_max", self.viewers_max),
            ("viewers_per_session_max", self.viewers_per_session_max),
            ("connections_max", self.connections_max),
            ("connections_each_max", self.connections_each_max),
        ])
    }
}

impl Config {
    /// Whether anything is kept.
    pub(crate) fn has_database(&self) -> bool {
        !self.database_url.expose_secret().is_empty() || self.database_url_file.is_some()
    }

    fn check_database(&self) -> Result<(), String> {
        if !self.has_database() {
            return Ok(());
        }
        let url = self.database_url.expose_secret();
        storage::check_settings(url, self.database_url_file.as_deref())?;
        if !(3..=256).contains(&self.database_connections_max) {
            return Err("database_connections_max: 3 to 256".to_owned());
        }
        Ok(())
    }

    /// How long sessions' histories are kept.
    pub(crate) fn kept(&self) -> Kept {
        let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
        Kept {
            ten_seconds: days(self.keep_ten_seconds_days),
            minutes: days(self.keep_minutes_days),
        }
    }

    fn check_events(&self) -> Result<(), String> {
        if self.events.sealing_key_file.is_some() && !self.has_database() {
            return Err("events.sealing_key_file: set database_url as well".to_owned());
        }
        self.events.validate()?;
        self.queries.validate()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            points_max: self.history_seconds as usize,
            history: Duration::from_secs(self.history_seconds.into()),
            bytes_max: self.history_bytes_max,
            sessions_max: self.sessions_max,
            stale_after: Duration::from_secs(self.stale_after_seconds.into()),
            viewers_max: self.viewers_max,
            viewers_per_session_max: self.viewers_per_session_max,
        }
    }
}

impl Config {
    /// What connections of viewers may take.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections: Places::new(self.connections_max, self.connections_each_max),
            terms: Arc::new(terms),
            http2: false,
        }
    }
}

/// The api keeps its connections for the next viewer, and brings everybody's.
fn terms(peer: IpAddr) -> Terms {
    if is_private_address(peer) {
        return Terms {
            holder: None,
            head_timeout: API_IDLE_MAX,
        };
    }
    Terms {
        holder: Some(network(peer)),
        head_timeout: HEAD_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_needs_a_token_and_limits() {
        let valid = Config {
            service_token_file: "/run/secrets/service_token".into(),
            ..Config::default()
        };
        assert_eq!(valid.validate(), Ok(()));
        assert!(Config::default().validate().is_err());
        let unlimited = Config {
            viewers_max: 0,
            ..valid
        };
        assert!(unlimited.validate().unwrap_err().contains("viewers_max"));
        let nowhere = Config {
            viewers_max: 1,
            database_url: "localhost".to_owned().into(),
            ..unlimited
        };
        assert!(nowhere.validate().unwrap_err().contains("database_url"));
        let overheard = Config {
            database_url: SecretString::default(),
            api_grpc: "http://api.example:7001".to_owned(),
            ..nowhere
        };
        assert!(overheard.validate().unwrap_err().contains("api_grpc"));
    }
}
