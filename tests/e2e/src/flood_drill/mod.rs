//! A flood from nowhere at a node that carries a stream.
//!
//! A relay node runs by itself, with real sockets; [`sources`] sends it what
//! [`speech`] says, SRT's handshakes or SRTLA's registrations, from addresses that
//! are not its own. Meanwhile a numbered [`stream`] runs through the node, over
//! three links when the flood is SRTLA, and new [`callers`] want in. [`Finding`] says what came of all three, and holds it
//! against what is promised.

mod callers;
mod finding;
mod sources;
mod speech;
mod stream;

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use testkit::srt_caller::Traffic;

use crate::drill::{DROPPED, kernel_drops};
use crate::metrics::Metrics;
use crate::node;
use crate::plane::{Plane, Terms};
use crate::ports::Ports;
use crate::program::{Program, tail};

pub use callers::Called;
pub use finding::Finding;
pub use sources::Sent;
pub use speech::Speech;
pub use stream::Carried;

use sources::Sources;
use stream::Stream;

/// How to flood.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long, at least: until the last caller was let in or gave up.
    pub length: Duration,
    /// Datagrams a second.
    pub rate_pps: u64,
    /// What they are.
    pub speech: Speech,
}

/// Until the stream's ring is full and everything runs as it will.
const SETTLE: Duration = Duration::from_secs(3);
/// Metrics are a second old at most.
const METRICS_AGE: Duration = Duration::from_millis(2500);
const TRAFFIC_BYTES: &str = "streamhaul_relay_traffic_bytes_total";

/// Starts a node and a stream, floods the node, and looks; files go below `dir`.
///
/// # Errors
/// When the node or the stream does not come up, or the stream is cut.
pub fn run(plan: Plan, dir: &Path) -> anyhow::Result<Finding> {
    std::fs::create_dir_all(dir)?;
    let files = tempfile::Builder::new().prefix("flood-").tempdir_in(dir)?;
    let plane = Plane::start(vec![Terms::Clear])?;
    let ports = Ports::free()?;
    let log = files.path().join("node.log");
    let mut command = node::command(&plane, ports, files.path())?;
    let program = Program::start("the relay node", &mut command, &log)?;
    let told = |error: anyhow::Error| error.context(tail(&program.log(), 10));
    plane.wait_assigned().map_err(told)?;
    flood(plan, ports, &program).map_err(told)
}

fn flood(plan: Plan, ports: Ports, program: &Program) -> anyhow::Result<Finding> {
    let SocketAddr::V4(target) = node::address(ports) else {
        bail!("spoofed sources are of IPv4");
    };
    let before = metrics(ports)?;
    let stream = Stream::start(target.into(), plan.speech)?;
    thread::sleep(SETTLE);
    let (resident_before, drops_before) = look(target, program)?;
    let mut sources = Sources::open(target, plan.speech)?;
    let name = sources.name();
    let stop = Arc::new(AtomicBool::new(false));
    let stop_flood = Arc::clone(&stop);
    let flooding = thread::spawn(move || sources.flood(plan.rate_pps, &stop_flood));
    let called = callers::call(target.into(), plan.length);
    let (resident_after, drops_after) = look(target, program)?;
    stop.store(true, Ordering::Relaxed);
    let Ok(sent) = flooding.join() else {
        bail!("the flood's thread panicked");
    };
    let (called, carried) = (called?, stream.finish()?);
    thread::sleep(METRICS_AGE);
    let after = metrics(ports)?;
    let proven = called
        .iter()
        .fold(carried.traffic, |sum, called| sum + called.traffic);
    Ok(Finding {
        speech: plan.speech,
        sources: name,
        sent: sent?,
        carried,
        called,
        resident_before,
        resident_after,
        kernel_drops: drops_after - drops_before,
        dropped: dropped(&before, &after),
        unproven: unproven(&before, &after, proven),
    })
}

/// Bytes of memory that the node occupies, and datagrams that the kernel threw
/// away before it saw them.
fn look(node: SocketAddrV4, program: &Program) -> anyhow::Result<(u64, u64)> {
    Ok((program.resident_bytes()?, kernel_drops(node.into())?))
}

fn metrics(ports: Ports) -> anyhow::Result<Metrics> {
    let answer = node::admin(ports).fetch("/metrics")?;
    Ok(Metrics::parse(&answer.text))
}

/// What the node dropped in between, by reason.
fn dropped(before: &Metrics, after: &Metrics) -> Vec<(String, f64)> {
    let count = |look: &Metrics, reason: &str| look.labelled(DROPPED, "reason", reason);
    let reasons = after.label_values(DROPPED, "reason").into_iter();
    reasons
        .map(|reason| {
            let count = count(after, &reason) - count(before, &reason);
            (reason, count)
        })
        .filter(|(_, count)| *count > 0.0)
        .collect()
}

/// Bytes that the node sent to and took from everybody but the callers that it let
/// in, as it counts them itself.
fn unproven(before: &Metrics, after: &Metrics, proven: Traffic) -> [f64; 2] {
    let grown = |direction| {
        let bytes = |look: &Metrics| look.labelled(TRAFFIC_BYTES, "direction", direction);
        bytes(after) - bytes(before)
    };
    [
        grown("egress") - proven.received_bytes as f64,
        grown("ingress") - proven.sent_bytes as f64,
    ]
}
