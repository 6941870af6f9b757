//! What the gateway takes in a second: signed batches over HTTP, on the cores that PostgreSQL and
//! the senders share.

use std::time::Duration;

use anyhow::Context as _;
use testkit::{database, intake_floor};

use super::contender::Contender;
use super::load::{self, Load};
use super::peer::Peer;
use super::report::Report;
use super::rig::Rig;
use super::sender::Batch;
use crate::bench::median;
use crate::machine;

/// How much of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of each part of a turn.
    pub length: Duration,
    /// Turns of floor, gateway and peer, so that what disturbs the machine disturbs all of them; their
    /// medians count.
    pub turns: u32,
    /// Clients at the same time.
    pub connections: u32,
    /// Events of a request.
    pub batch: usize,
    /// Another gateway to be measured by the same load.
    pub peer: Option<Peer>,
}

/// Rows of one statement of the floor, and its connections.
const FLOOR_BATCH: usize = 1000;
const FLOOR_CONNECTIONS: usize = 2;

/// Who takes turns.
enum Part {
    Floor,
    Gateway,
    Peer,
}

/// What one turn came to, events a second.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// A bare statement, of rows of the same form.
    pub(super) floor: f64,
    pub(super) events_per_s: f64,
    pub(super) peer: Option<f64>,
}

/// Measures everything.
///
/// # Errors
/// When something is missing, or a batch is not acknowledged.
pub fn measure(plan: &Plan) -> anyhow::Result<Report> {
    let machine = machine::describe();
    let rig = Rig::start_as_shipped()?;
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    let target = rig.app(&runtime)?;
    target.await_ready()?;
    let load = Load {
        connections: plan.connections,
        batch: plan.batch,
        length: plan.length,
    };
    let mut ours = Contender::warmed_up(&target, load)?;
    let peer = plan.peer.as_ref();
    let peer = peer.map(|peer| peer.run(&rig, &runtime, load).context("the peer"));
    let mut peer = peer.transpose()?;
    let url = rig.postgres.url();
    let mut turns = Vec::new();
    for number in 0..plan.turns {
        let mut turn = Turn::default();
        let mut parts = [Part::Floor, Part::Gateway, Part::Peer];
        // Every second turn goes the other way round, so that none has always the same before it.
        if number % 2 == 1 {
            parts.reverse();
        }
        for part in parts {
            // What the one before has left to be written to the disk burdens none.
            runtime.block_on(database::execute_in(&url, "CHECKPOINT"));
            match part {
                Part::Floor => turn.floor = runtime.block_on(floor(&url, plan.length))?,
                Part::Gateway => turn.events_per_s = ours.turn()?,
                Part::Peer => {
                    let peer = peer.as_mut().map(|peer| peer.contender.turn());
                    turn.peer = peer.transpose().context("the peer")?;
                }
            }
        }
        turns.push(turn);
    }
    drop(peer);
    let events_per_s = median(turns.iter().map(|turn| turn.events_per_s).collect());
    let long = Load {
        length: plan.length * plan.turns,
        ..load
    };
    let acks = load::at_rate(&target, long, events_per_s / 2.0)?;
    Ok(Report {
        machine,
        plan: plan.clone(),
        event_bytes: Batch::new(plan.batch, 0).event_bytes(),
        turns,
        acks,
        resident_bytes: rig.peak_resident_bytes()?,
    })
}

async fn floor(url: &str, length: Duration) -> Result<f64, storage::Error> {
    intake_floor::measure(url, length, (FLOOR_CONNECTIONS, FLOOR_BATCH)).await
}
