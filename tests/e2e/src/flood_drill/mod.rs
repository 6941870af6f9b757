//! A flood of handshakes from nowhere at a node that carries a stream.
//!
//! A relay node runs by itself, with real sockets; [`sources`] sends it requests
//! for cookies, and conclusions whose cookies are made up, from addresses that
//! are not its own. Meanwhile a numbered [`stream`] runs through the node and new
//! [`callers`] want in. [`Finding`] says what came of all three, and holds it
//! against what is promised.

mod callers;
mod finding;
mod sources;
mod stream;

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use testkit::srt_caller::Traffic;

use crate::drill::kernel_drops;
use crate::metrics::Metrics;
use crate::node;
use crate::plane::{Plane, Terms};
use crate::ports::Ports;
use crate::program::{Program, tail};

pub use callers::Called;
pub use finding::Finding;
pub use sources::Sent;
pub use stream::Carried;

use sources::Sources;
use stream::Stream;

/// How to flood.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How long, at least: until the last caller was let in or gave up.
    pub length: Duration,
    /// Handshakes a second.
    pub rate_pps: u64,
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
    let before = egress_and_ingress(ports)?;
    let stream = Stream::start(target.into())?;
    thread::sleep(SETTLE);
    let (resident_before, drops_before) = look(target, program)?;
    let mut sources = Sources::open(target)?;
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
    let after = egress_and_ingress(ports)?;
    let proven = called
        .iter()
        .fold(carried.traffic, |sum, called| sum + called.traffic);
    Ok(Finding {
        sources: name,
        sent: sent?,
        carried,
        called,
        resident_before,
        resident_after,
        kernel_drops: drops_after - drops_before,
        unproven: unproven(before, after, proven),
    })
}

/// Bytes of memory that the node occupies, and datagrams that the kernel threw
/// away before it saw them.
fn look(node: SocketAddrV4, program: &Program) -> anyhow::Result<(u64, u64)> {
    Ok((program.resident_bytes()?, kernel_drops(node.into())?))
}

/// Bytes of all that the node sent and took, as it counts them itself.
fn egress_and_ingress(ports: Ports) -> anyhow::Result<[f64; 2]> {
    let answer = node::admin(ports).fetch("/metrics")?;
    let metrics = Metrics::parse(&answer.text);
    let bytes = |direction| metrics.labelled(TRAFFIC_BYTES, "direction", direction);
    Ok(["egress", "ingress"].map(bytes))
}

/// What the node exchanged with everybody but the callers that it let in.
fn unproven(before: [f64; 2], after: [f64; 2], proven: Traffic) -> [f64; 2] {
    [
        after[0] - before[0] - proven.received_bytes as f64,
        after[1] - before[1] - proven.sent_bytes as f64,
    ]
}
