//! One start-up for every service: configuration, logs, metrics, the admin
//! listener, readiness, signals and shutdown.
//!
//! A service is a function: `async fn run(config: Config, context: Context) ->
//! anyhow::Result<()>`, and its `main` is one call:
//!
//! ```no_run
//! # #[derive(serde::Serialize, serde::Deserialize)] struct Config { kit: service_kit::KitConfig }
//! # impl Default for Config { fn default() -> Self { Self { kit: service_kit::KitConfig::with_admin_port(9101) } } }
//! # impl service_kit::ServiceConfig for Config { fn kit(&self) -> &service_kit::KitConfig { &self.kit } }
//! # async fn run(_: Config, _: service_kit::Context) -> anyhow::Result<()> { Ok(()) }
//! # use streamhaul_service_kit as service_kit;
//! fn main() -> std::process::ExitCode {
//!     service_kit::run("api", run)
//! }
//! ```
//!
//! [`run()`] is for a process of its own, [`launch`] for several services in one
//! process and for tests. Either way each service has its own runtime, its own
//! metrics and its own admin listener. This crate knows no service, no contract
//! and no database.
//!
//! To add a setting that every service shares, add it to [`KitConfig`]; to add an
//! admin route, add it to `admin.rs`.

mod admin;
mod cli;
pub mod client_address;
pub mod config;
pub mod exposition;
pub mod grpc;
mod healthcheck;
pub mod http;
mod launch;
pub mod metrics;
pub mod places;
mod readiness;
mod run;
pub mod seal;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use config::{AdminConfig, Flag, KitConfig, LogConfig, LogFormat, ServiceConfig, TraceConfig};
pub use launch::{Context, LaunchError, Running, SystemClock, launch};
pub use readiness::{NotReady, Readiness};
pub use run::run;
pub use secrecy::SecretString;
pub use tls::GrpcConfig;
