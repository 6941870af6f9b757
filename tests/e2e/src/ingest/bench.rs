//! What the gateway takes in a second: signed batches over HTTP, on the cores that PostgreSQL and
//! the senders share.

use std::time::Duration;

use anyhow::Context as _;
use testkit::intake_floor;

use super::load::{self, Load};
use super::peer::Peer;
use super::report::Report;
use super::rig::Rig;
use super::sender::Batch;
use crate::machine;

/// How much of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of each part.
    pub length: Duration,
    /// Clients at the same time.
    pub connections: u32,
    /// Events of a request.
    pub batch: usize,
    /// Another gateway to be measured by the same load.
    pub peer: Option<Peer>,
}

/// Before anything is measured: pools are filled, statements prepared.
const WARM_UP: Duration = Duration::from_secs(2);
/// Rows of one statement of the floor, and its connections.
const FLOOR_BATCH: usize = 1000;
const FLOOR_CONNECTIONS: usize = 2;

/// Measures everything.
///
/// # Errors
/// When something is missing, or a batch is not acknowledged.
pub fn measure(plan: &Plan) -> anyhow::Result<Report> {
    let machine = machine::describe();
    let rig = Rig::start()?;
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    let target = rig.app(&runtime)?;
    target.await_ready()?;
    let load = Load {
        connections: plan.connections,
        batch: plan.batch,
        length: plan.length,
    };
    let warm_up = Load {
        length: WARM_UP.min(plan.length),
        ..load
    };
    load::most(&target, warm_up)?;
    let url = rig.postgres.url();
    let measured = intake_floor::measure(&url, plan.length, (FLOOR_CONNECTIONS, FLOOR_BATCH));
    let floor = runtime.block_on(measured)?;
    let events_per_s = load::most(&target, load)?;
    let resident_bytes = rig.resident_bytes()?;
    let acks = load::at_rate(&target, load, events_per_s / 2.0)?;
    let peer = plan.peer.as_ref();
    let peer = peer.map(|peer| peer.measure(&rig, &runtime, load).context("the peer"));
    let peer = peer.transpose()?;
    Ok(Report {
        machine,
        plan: plan.clone(),
        event_bytes: Batch::new(plan.batch, 0).event_bytes(),
        floor,
        events_per_s,
        acks,
        peer,
        resident_bytes,
    })
}
