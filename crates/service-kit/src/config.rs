//! What every service can be configured with, and how a configuration is read:
//! defaults in code, then a TOML file, then the environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::tls::GrpcConfig;

/// A service's configuration. Give it `#[serde(default, deny_unknown_fields)]`
/// and a field `kit: KitConfig`.
pub trait ServiceConfig: Serialize + DeserializeOwned + Default + Send + 'static {
    /// The part every service shares.
    fn kit(&self) -> &KitConfig;

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// One sentence naming the setting and what to do.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Settings that the command line has flags for, besides.
    fn flags() -> &'static [Flag] {
        &[]
    }

    /// Encoded file descriptor sets of the gRPC services, for reflection.
    fn descriptor_sets() -> &'static [&'static [u8]] {
        &[]
    }
}

/// A setting that has a flag on the command line, which goes before file and environment.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it takes, as the help shows it.
    pub value: &'static str,
    /// What it does.
    pub help: &'static str,
    /// The setting, such as `section.key`.
    pub setting: &'static str,
}

/// Checks that files which a service cannot do without are set.
///
/// # Errors
/// The name of the first that is not.
pub fn check_files(files: &[(&str, &Path)]) -> Result<(), String> {
    let unset = files.iter().find(|(_, path)| path.as_os_str().is_empty());
    unset.map_or(Ok(()), |(name, _)| Err(format!("{name}: set it")))
}

/// Checks numbers that make no sense as zero.
///
/// # Errors
/// The name of the first that is.
pub fn check_positive<N: Default + PartialEq>(numbers: &[(&str, N)]) -> Result<(), String> {
    let zero = numbers.iter().find(|(_, number)| *number == N::default());
    zero.map_or(Ok(()), |(name, _)| Err(format!("{name}: at least 1")))
}

/// What every service can be configured with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KitConfig {
    /// The admin listener.
    pub admin: AdminConfig,
    /// Logs.
    pub log: LogConfig,
    /// Traces.
    pub trace: TraceConfig,
    /// gRPC with other services.
    pub grpc: GrpcConfig,
    /// How long a stop may take before the process gives up waiting.
    pub shutdown_deadline_seconds: u64,
}

/// The admin listener: metrics, health, log level.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// Logs, on standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A filter such as `info,sqlx=warn` or `info,streamhaul_relay_node=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Traces; off unless an endpoint is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceConfig {
    /// An OTLP gRPC endpoint, such as `http://127.0.0.1:4317`.
    pub otlp_endpoint: Option<String>,
}

impl KitConfig {
    /// The defaults, with the admin listener on loopback at `port`.
    #[must_use]
    pub fn with_admin_port(port: u16) -> Self {
        Self {
            admin: AdminConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            },
            log: LogConfig::default(),
            trace: TraceConfig::default(),
            grpc: GrpcConfig::default(),
            shutdown_deadline_seconds: 20,
        }
    }

    /// How long a stop may take.
    #[must_use]
    pub const fn shutdown_deadline(&self) -> Duration {
        Duration::from_secs(self.shutdown_deadline_seconds)
    }
}

impl Default for KitConfig {
    fn default() -> Self {
        Self::with_admin_port(0)
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        KitConfig::default().admin
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info,sqlx=warn".to_owned(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or a value is wrong; the text names it and where it came from.
    #[error("{0}")]
    Invalid(String),
}

/// The prefix of a service's environment variables: `STREAMHAUL_RELAY_NODE__`.
#[must_use]
pub fn environment_prefix(service: &str) -> String {
    format!("STREAMHAUL_{}__", service.replace('-', "_").to_uppercase())
}

/// Reads a service's configuration; `flags` are settings and what the command line gives them.
///
/// # Errors
/// When the file cannot be read, a key is unknown, a value has the wrong type
/// or the service refuses the whole.
pub fn load<C: ServiceConfig>(
    service: &str,
    file: Option<&Path>,
    flags: &[(&str, String)],
) -> Result<C, Error> {
    let mut figment = Figment::from(Serialized::defaults(C::default()));
    if let Some(path) = file {
        require_readable(path)?;
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(Env::prefixed(&environment_prefix(service)).split("__"));
    for flag in flags {
        figment = figment.merge(flag.clone());
    }
    let config: C = figment
        .extract()
        .map_err(|error| Error::Invalid(one_line(&error.to_string())))?;
    check(&config).map_err(Error::Invalid)?;
    Ok(config)
}

/// Checks all of a service's configuration.
pub(crate) fn check(config: &impl ServiceConfig) -> Result<(), String> {
    config.kit().grpc.validate()?;
    config.validate()
}

fn require_readable(path: &Path) -> Result<(), Error> {
    let describe = |source| Error::File {
        path: path.display().to_string(),
        source,
    };
    std::fs::File::open(path).map(drop).map_err(describe)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
