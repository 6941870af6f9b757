//! What the control plane costs: one `api` process with ten thousand nodes on their
//! streams, placement decisions by themselves, and session starts end to end.
//!
//! The nodes are simulated in this process and speak to `api` as real ones do: enrolled,
//! a TCP connection and an HTTP/2 stream each, heartbeats that are written to PostgreSQL
//! and answered. What `api` uses is read from `/proc`, so nothing of this process is in it.
//!
//! To add a figure: a field of its part, and a line in [`report`].

pub(crate) mod enrolment;
mod fleet;
pub(crate) mod nodes;
mod placement;
mod report;
mod starts;

use std::time::Duration;

use crate::house::{House, Options, Service};
use crate::machine;

pub use report::Report;

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Nodes on their streams, for `api`'s CPU time and memory.
    pub nodes: u32,
    /// How long they are watched.
    pub length: Duration,
    /// Nodes that sessions are started on, and decisions are made against.
    pub start_nodes: u32,
    /// How long sessions are started.
    pub start_length: Duration,
    /// Callers that start sessions at the same time, a user each.
    pub callers: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 10_000,
            length: Duration::from_secs(60),
            start_nodes: 1000,
            start_length: Duration::from_secs(20),
            callers: 32,
        }
    }
}

/// Measures everything.
///
/// # Errors
/// When the house does not come up, a node is refused or a start fails.
pub fn measure(plan: &Plan) -> anyhow::Result<Report> {
    crate::bench::allow_many_sockets()?;
    let machine = machine::describe();
    let placement = placement::measure(plan.start_nodes);
    let starts = starts::measure(plan)?;
    let fleet = fleet::measure(plan)?;
    Ok(Report {
        machine,
        plan: *plan,
        fleet,
        starts,
        placement,
    })
}

/// A control plane by itself, with nothing to say about each of ten thousand nodes.
fn house() -> anyhow::Result<House> {
    House::control_plane(Options::default().unlimited().with(
        Service::Api,
        "KIT__LOG__FILTER",
        "warn",
    ))
}

/// The value that `share` of a sorted list are at most; 0 of an empty one.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(index.min(last)).copied().unwrap_or_default()
}

#[allow(clippy::print_stderr, reason = "progress is for who waits")]
fn progress(what: &str) {
    eprintln!("{what}");
}
