//! Gives the generated modules their paths.

/// How a relay node and the control plane talk; what the control plane offers.
#[rustfmt::skip]
#[path = "gen/streamhaul.fleet.v1.rs"]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]
pub mod fleet;

/// The job queue's front door.
#[rustfmt::skip]
#[path = "gen/streamhaul.jobs.v1.rs"]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]
pub mod jobs;

/// The nodes' samples.
#[rustfmt::skip]
#[path = "gen/streamhaul.telemetry.v1.rs"]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]
pub mod telemetry;
