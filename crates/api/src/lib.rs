//! The control plane: accounts, sessions, nodes, leases.
//!
//! HTTP for people and their programs (`routes/`), gRPC for nodes and the other
//! services (`grpc/`), and in between what it decides: where a session goes
//! (`relay/`, with `placement`), what each node is told (`fleet/`), and what a
//! streamer's page may do (`dock/`), and who people are (`accounts/`). It keeps no session in memory: any number of
//! replicas share one database. It refuses to know SQL (`storage`), how a node
//! forwards a packet, and what a job is.
//!
//! To add an endpoint, add its handler and its line in `routes/v1/`, describe it there and
//! run `cargo xtask openapi`; to add a
//! directive, send it from `fleet::connection`; to add a metric, see [`metrics`].

mod accounts;
mod auth;
mod believed;
mod billing;
mod bootstrap;
mod config;
mod cookie;
mod dock;
mod error;
mod fleet;
mod grpc;
mod limits;
mod mail;
pub mod metrics;
mod openapi;
mod relay;
mod routes;
mod server;
mod state;
mod time;
mod token;
mod webhooks;

pub use auth::Access;
pub use config::{
    AccountsConfig, BillingConfig, BootstrapNode, Config, DnsConfig, DockConfig, FleetConfig,
    HttpConfig, MailConfig, ProviderConfig, ProvidersConfig, Proxies, RateLimitsConfig,
    Registration, SessionsConfig,
};
pub use limits::Class;
pub use openapi::document;
pub use routes::{classes, table};
pub use server::{Server, Surroundings, run};
