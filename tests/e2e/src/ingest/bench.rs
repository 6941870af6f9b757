//! What the gateway takes in a second: signed batches over HTTP, on the cores that PostgreSQL and
//! the senders share.

use std::time::Duration;

use anyhow::Context as _;
use testkit::intake_floor;

use super::load::{self, Load};
use super::report::Report;
use super::rig::Rig;
use super::sender::{Batch, Sender, Target};
use crate::{machine, wait};

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
    pub peer: Option<Target>,
    /// Clients of the peer at the same time.
    pub peer_connections: u32,
}

/// Before anything is measured: pools are filled, statements prepared.
const WARM_UP: Duration = Duration::from_secs(2);
const READY_LIMIT: Duration = Duration::from_secs(30);
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
    wait::until("events are taken", READY_LIMIT, || {
        let taken = Sender::new(target.clone()).send(&Batch::new(1, 0));
        (taken.ok()? == 200).then_some(())
    })?;
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
    let peer = match &plan.peer {
        Some(peer) => {
            let load = Load {
                connections: plan.peer_connections,
                ..load
            };
            Some(load::most(peer, load).context("the peer")?)
        }
        None => None,
    };
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
