//! This service's configuration.

mod accounts;
mod billing;
mod dns;
mod http;
mod mail;
mod placement;
mod providers;
mod rate_limits;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use accounts::{AccountsConfig, Registration};
pub use billing::BillingConfig;
pub(crate) use billing::{PLAN, TENANT};
pub use dns::DnsConfig;
pub use http::{HttpConfig, Proxies};
pub use mail::MailConfig;
use model::Region;
pub(crate) use placement::PlacementConfig;
pub use providers::{ProviderConfig, ProvidersConfig};
pub use rate_limits::RateLimitsConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::config::{check_files, check_positive};
use service_kit::{KitConfig, ServiceConfig};
use storage::control::heartbeats::Renewal;

/// Configuration of api.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Admin listener, logs, traces, shutdown.
    pub kit: KitConfig,
    /// Where the HTTP API listens.
    pub listen_http: SocketAddr,
    /// Where gRPC `fleet.v1` listens.
    pub listen_grpc: SocketAddr,
    /// The database; this or `database_url_file`.
    #[serde(serialize_with = "service_kit::secret::redacted")]
    pub database_url: SecretString,
    /// A file that holds the database's URL.
    pub database_url_file: Option<PathBuf>,
    /// The most connections to the database.
    pub database_connections_max: u32,
    /// A file that holds the first administrator's token.
    pub admin_token_file: PathBuf,
    /// A file that holds the token which the services know each other by.
    pub service_token_file: PathBuf,
    /// A file that holds the key which secrets in the database are sealed with, 64
    /// hexadecimal digits.
    pub sealing_key_file: PathBuf,
    /// A file that holds the Ed25519 seed of the first key that signs leases, 64
    /// hexadecimal digits; none: it is made. It is read at the first start only.
    pub first_lease_key_file: Option<PathBuf>,
    /// A file that holds the secret that stream keys are derived from.
    pub stream_key_secret_file: PathBuf,
    /// The regions nodes may stand in; empty: any.
    pub regions: Vec<Region>,
    /// The region of a node whose operator names none.
    pub default_region: Region,
    /// A node to create at start, unless one of that name exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_node: Option<BootstrapNode>,
    /// How long sessions and their leases live.
    pub sessions: SessionsConfig,
    /// How nodes are watched.
    pub fleet: FleetConfig,
    /// What a session is expected to take, and what counts when a node is chosen.
    pub placement: PlacementConfig,
    /// What one caller may ask for.
    pub http: HttpConfig,
    /// The metrics-gateway's HTTP listener, for the live view.
    pub gateway_http: String,
    /// Its gRPC listener, for the links that a session's user is shown.
    pub gateway_grpc: String,
    /// Whether webhooks may be told without TLS.
    pub webhooks_http_allowed: bool,
    /// The names of stream slots in the DNS.
    pub dns: DnsConfig,
    /// How docks are signed in.
    pub dock: DockConfig,
    /// Where browsers reach this instance, such as `https://streamhaul.example`: links in
    /// letters begin with it. When absent, where it listens.
    pub public_url: Option<String>,
    /// How people get accounts and sign in.
    pub accounts: AccountsConfig,
    /// How letters are sent.
    pub mail: MailConfig,
    /// What an outside billing system may tell us.
    pub billing: BillingConfig,
}

/// How docks are signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockConfig {
    /// How long a sign-in link is good; it is good once.
    pub link_seconds: u32,
    /// How long a dock stays signed in.
    pub session_seconds: u32,
}

/// A node whose join token is known before the control plane first starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapNode {
    /// The operator's name for it.
    pub name: String,
    /// Where it stands; `default_region` when absent.
    pub region: Option<Region>,
    /// A file that holds its join token; good once.
    pub join_token_file: PathBuf,
}

/// How long sessions and their leases live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// How long a session lives without its node's heartbeat.
    pub lease_seconds: u32,
    /// How long a session waits for its node to confirm it.
    pub provisioning_seconds: u32,
    /// How long it is renewed without a publisher.
    pub grace_seconds: u32,
    /// How long a signed lease is good; it is sent again at half of it.
    pub lease_token_seconds: u32,
    /// The longest a session lives.
    pub max_session_seconds: u32,
    /// How long a session whose stream moves waits for its publisher to follow.
    pub move_seconds: u32,
    /// Between two moves of one stream by its user; 0: as often as they like.
    pub move_cooldown_seconds: u32,
    /// How long an `Idempotency-Key` is remembered.
    pub idempotency_seconds: u32,
}

/// How nodes are watched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// Between two heartbeats of a node.
    pub heartbeat_seconds: u32,
    /// A node silent for this long is given no session.
    pub offline_after_seconds: u32,
    /// The sessions of a node that is silent for this long are ended.
    pub lost_after_seconds: u32,
    /// No session expires for this long after trouble of our own.
    pub expiry_pause_seconds: u32,
    /// How long a join token is good.
    pub join_token_seconds: u32,
    /// Between two looks at what a node should hold, besides being told.
    pub sync_seconds: u32,
    /// For how long a new node must be well before it is given more than a few sessions;
    /// 0: from the start.
    pub probation_seconds: u32,
    /// How many it is given until then.
    pub probation_sessions_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kit: KitConfig::with_admin_port(9101),
            listen_http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            listen_grpc: SocketAddr::from(([127, 0, 0, 1], 7001)),
            database_url: SecretString::default(),
            database_url_file: None,
            database_connections_max: 8,
            admin_token_file: PathBuf::new(),
            service_token_file: PathBuf::new(),
            sealing_key_file: PathBuf::new(),
            first_lease_key_file: None,
            stream_key_secret_file: PathBuf::new(),
            regions: Vec::new(),
            default_region: Region::parse("local").expect("a literal region name is valid"),
            bootstrap_node: None,
            sessions: SessionsConfig::default(),
            fleet: FleetConfig::default(),
            placement: PlacementConfig::default(),
            http: HttpConfig::default(),
            gateway_http: "http://127.0.0.1:8081".to_owned(),
            gateway_grpc: "http://127.0.0.1:7004".to_owned(),
            webhooks_http_allowed: false,
            dns: DnsConfig::default(),
            dock: DockConfig::default(),
            public_url: None,
            accounts: AccountsConfig::default(),
            mail: MailConfig::default(),
            billing: BillingConfig::default(),
        }
    }
}

impl Default for DockConfig {
    fn default() -> Self {
        Self {
            link_seconds: 600,
            session_seconds: 30 * 24 * 3600,
        }
    }
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            lease_seconds: 300,
            provisioning_seconds: 120,
            grace_seconds: 600,
            lease_token_seconds: 3600,
            max_session_seconds: 16 * 3600,
            move_seconds: 600,
            move_cooldown_seconds: 3600,
            idempotency_seconds: 3600,
        }
    }
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            heartbeat_seconds: 5,
            offline_after_seconds: 15,
            lost_after_seconds: 60,
            expiry_pause_seconds: 60,
            join_token_seconds: 24 * 3600,
            sync_seconds: 5,
            probation_seconds: 600,
            probation_sessions_max: 5,
        }
    }
}

impl ServiceConfig for Config {
    fn kit(&self) -> &KitConfig {
        &self.kit
    }

    fn descriptor_sets() -> &'static [&'static [u8]] {
        &[proto::FILE_DESCRIPTOR_SET]
    }

    fn validate(&self) -> Result<(), String> {
        self.validate_database()?;
        check_files(&[
            ("admin_token_file", &self.admin_token_file),
            ("service_token_file", &self.service_token_file),
            ("sealing_key_file", &self.sealing_key_file),
            ("stream_key_secret_file", &self.stream_key_secret_file),
        ])?;
        check_positive(&[
            ("sessions.lease_seconds", self.sessions.lease_seconds),
            (
                "sessions.lease_token_seconds",
                self.sessions.lease_token_seconds,
            ),
            (
                "sessions.max_session_seconds",
                self.sessions.max_session_seconds,
            ),
            ("sessions.move_seconds", self.sessions.move_seconds),
            (
                "sessions.provisioning_seconds",
                self.sessions.provisioning_seconds,
            ),
            ("fleet.lost_after_seconds", self.fleet.lost_after_seconds),
            ("fleet.heartbeat_seconds", self.fleet.heartbeat_seconds),
            (
                "fleet.offline_after_seconds",
                self.fleet.offline_after_seconds,
            ),
            ("fleet.join_token_seconds", self.fleet.join_token_seconds),
            ("fleet.sync_seconds", self.fleet.sync_seconds),
            (
                "fleet.probation_sessions_max",
                self.fleet.probation_sessions_max,
            ),
            ("http.timeout_seconds", self.http.timeout_seconds),
            ("dock.link_seconds", self.dock.link_seconds),
            ("dock.session_seconds", self.dock.session_seconds),
        ])?;
        self.http.validate()?;
        self.placement.validate()?;
        self.validate_gateway()?;
        self.accounts.validate()?;
        self.mail.validate()?;
        self.billing.validate()?;
        self.dns.validate(&self.sessions)?;
        self.validate_public_url()?;
        self.validate_regions()
    }
}

impl Config {
    fn validate_database(&self) -> Result<(), String> {
        let url = self.database_url.expose_secret();
        storage::check_settings(url, self.database_url_file.as_deref())?;
        if !(3..=256).contains(&self.database_connections_max) {
            return Err("database_connections_max: 3 to 256".to_owned());
        }
        Ok(())
    }

    fn validate_gateway(&self) -> Result<(), String> {
        if !self.gateway_http.starts_with("http://") {
            return Err("gateway_http: a URL such as http://127.0.0.1:8081".to_owned());
        }
        // What is passed on to it has the viewer's token.
        self.kit.grpc.check("gateway_http", &self.gateway_http)?;
        self.kit.grpc.check("gateway_grpc", &self.gateway_grpc)
    }

    fn validate_public_url(&self) -> Result<(), String> {
        let Some(url) = &self.public_url else {
            return Ok(());
        };
        let uri: Result<::http::Uri, _> = url.parse();
        let is_origin = uri.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some()
                && uri.path() == "/"
                && uri.query().is_none()
        });
        if is_origin {
            return Ok(());
        }
        Err("public_url: such as https://streamhaul.example".to_owned())
    }

    /// Where browsers reach this instance, without a slash at the end.
    pub(crate) fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.listen_http),
        }
    }

    fn validate_regions(&self) -> Result<(), String> {
        if self.regions.is_empty() || self.regions.contains(&self.default_region) {
            return Ok(());
        }
        Err(format!(
            "default_region: {} is not among regions",
            self.default_region
        ))
    }

    /// Whether a node may stand there.
    pub(crate) fn knows(&self, region: &Region) -> bool {
        self.regions.is_empty() || self.regions.contains(region)
    }
}

impl SessionsConfig {
    pub(crate) fn renewal(&self) -> Renewal {
        Renewal {
            lease: seconds(self.lease_seconds),
            grace: seconds(self.grace_seconds),
        }
    }
}

pub(crate) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config {
            database_url: "postgres://streamhaul@localhost/streamhaul".into(),
            admin_token_file: "/a".into(),
            service_token_file: "/b".into(),
            sealing_key_file: "/c".into(),
            stream_key_secret_file: "/d".into(),
            ..Config::default()
        }
    }

    #[test]
    fn a_config_says_what_it_lacks() {
        assert_eq!(valid().validate(), Ok(()));
        assert!(Config::default().validate().is_err());
        let keyless = Config {
            sealing_key_file: PathBuf::new(),
            ..valid()
        };
        assert_eq!(
            keyless.validate(),
            Err("sealing_key_file: set it".to_owned())
        );
        let mut idle = valid();
        idle.fleet.sync_seconds = 0;
        assert_eq!(
            idle.validate(),
            Err("fleet.sync_seconds: at least 1".to_owned())
        );
        let elsewhere = Config {
            regions: vec![Region::parse("eu").unwrap()],
            ..valid()
        };
        assert!(elsewhere.validate().is_err());
        let unreachable = Config {
            gateway_grpc: "127.0.0.1:7004".to_owned(),
            ..valid()
        };
        assert!(unreachable.validate().unwrap_err().contains("gateway_grpc"));
        let overheard = Config {
            gateway_http: "http://gateway.example:8081".to_owned(),
            ..valid()
        };
        assert!(overheard.validate().unwrap_err().contains("gateway_http"));
    }

    #[test]
    fn a_printed_config_hides_the_database_url() {
        let printed = serde_json::to_string(&valid()).unwrap();
        assert!(!printed.contains("localhost/streamhaul"), "{printed}");
    }
}
