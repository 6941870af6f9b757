//! A relay node: the shell around `relay-core`.
//!
//! ```text
//!  UDP ⇄ sockets ⇄ shard (one OS thread: receive, decide, send)
//!                   ▲ │ commands in, events and snapshots out; bounded, never waiting
//!                   │ ▼
//!  async runtime: control (api), report (metrics-gateway), stats (HTTP), metrics
//! ```
//!
//! Keys are derived from passphrases on a thread of their own (`key_worker`).
//!
//! The data thread owns the sockets and the relay and waits for nothing but the
//! network: whatever happens to the control plane, the gateway or a scrape, it
//! forwards. The node owns no durable state but its identity and knows no
//! database: it verifies leases offline with the control plane's public keys.
//!
//! To add a directive: a variant in `relay_core::Command` and its arm in
//! `control/directive.rs`. To add a metric: its name and help in `metrics.rs`
//! and, if the data thread counts it, a field in `snapshot.rs`.

mod backlog;
mod backoff;
mod carriers;
mod config;
mod control;
mod egress;
mod identity;
mod ingress;
mod key_worker;
mod lookup;
mod metrics;
mod pace;
mod report;
mod resume;
mod sampler;
mod sendmmsg;
mod service;
mod shard;
mod shards;
mod snapshot;
mod sockets;
mod stats;
mod steering;
mod trains;

pub use config::{Config, Limits, Remotes, Srtla};
pub use service::run;
pub use stats::StatsLimits;
