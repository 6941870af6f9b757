//! PostgreSQL or NATS is away, the gateway dies meanwhile, and nothing that was acknowledged is lost.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testkit::database::number_in;
use tokio::runtime::Runtime;

use super::rig::{NatsSetup, Rig, Setup};
use super::sender::{Batch, Sender};
use crate::wait;

const BATCHES: usize = 40;
/// Events of a request.
const BATCH: usize = 50;
const LIMIT: Duration = Duration::from_secs(60);
/// An edge looks for its log every two seconds.
const LOOKED: Duration = Duration::from_secs(5);
const STORED: &str = "SELECT count(*) FROM telemetry.events";

/// Lets PostgreSQL be away while events come, and the gateway be killed while it is.
///
/// # Errors
/// When a batch is refused that the spool has room for, or one that was acknowledged is not
/// stored once.
pub fn check() -> anyhow::Result<()> {
    let mut rig = Rig::with(Setup {
        has_spool: true,
        ..Setup::default()
    })?;
    let runtime = Runtime::new().context("start a runtime")?;
    let sender = Sender::new(rig.app(&runtime)?);
    begin(&sender)?;
    rig.postgres.kill()?;
    fill_spool(&rig, &sender)?;
    rig.kill_gateway(0)?;
    rig.launch(0)?;
    // It does not know its apps yet.
    let status = Sender::new(sender.target().clone()).send(&Batch::new(BATCH, 0))?;
    ensure!(
        status == 503,
        "without a database a gateway begins with {status}"
    );
    rig.postgres.restart()?;
    await_stored(&rig, &runtime, BATCHES + 1)?;
    let status = Sender::new(sender.target().clone()).send(&Batch::new(BATCH, 0))?;
    ensure!(
        status == 200,
        "after the outage a batch is answered {status}"
    );
    Ok(())
}

/// Lets NATS be away while events come to an edge that answers after the commit, and the edge be
/// killed while it is.
///
/// # Errors
/// The same, or when the edge is not ready though its spool has room.
pub fn check_log() -> anyhow::Result<()> {
    let mut rig = Rig::with(Setup {
        has_spool: true,
        nats: Some(NatsSetup {
            writers: 1,
            acknowledges_early: false,
        }),
        ..Setup::default()
    })?;
    let (edge, writer) = (0, 1);
    let is_well = |rig: &Rig, gateway| rig.is_well(gateway, "nats");
    let runtime = Runtime::new().context("start a runtime")?;
    let sender = Sender::new(rig.app(&runtime)?);
    begin(&sender)?;
    wait::until("the edge has its log", LIMIT, || {
        is_well(&rig, edge).ok()?.then_some(())
    })?;
    rig.nats.as_mut().context("NATS does not run")?.kill()?;
    fill_spool(&rig, &sender)?;
    wait::until("the writer misses the log", LIMIT, || {
        (!is_well(&rig, writer).ok()?).then_some(())
    })?;
    thread::sleep(LOOKED);
    ensure!(
        is_well(&rig, edge)?,
        "an edge whose spool has room is not ready"
    );
    rig.kill_gateway(edge)?;
    rig.launch(edge)?;
    let sender = Sender::new(sender.target().clone());
    begin(&sender)?;
    ensure!(
        !is_well(&rig, edge)?,
        "an edge that never had its log is ready"
    );
    rig.nats.as_mut().context("NATS does not run")?.launch()?;
    await_stored(&rig, &runtime, BATCHES + 2)
}

/// Sends a batch until it is taken, as an SDK does.
fn begin(sender: &Sender) -> anyhow::Result<()> {
    let first = Batch::new(BATCH, 0);
    wait::until("events are taken", LIMIT, || {
        matches!(sender.send(&first), Ok(200)).then_some(())
    })
}

/// Sends batches, of which none may be refused.
fn fill_spool(rig: &Rig, sender: &Sender) -> anyhow::Result<()> {
    for number in 0..BATCHES {
        let status = sender.send(&Batch::new(BATCH, 0))?;
        ensure!(status == 200, "batch {number} is answered {status}");
    }
    ensure!(segments(&rig.spool(0))? > 0, "the spool is empty");
    Ok(())
}

/// Waits until so many batches are stored, and nothing is left in the spool.
fn await_stored(rig: &Rig, runtime: &Runtime, batches: usize) -> anyhow::Result<()> {
    let expected = (batches * BATCH) as i64;
    let stored = || runtime.block_on(number_in(&rig.postgres.url(), STORED));
    wait::until("what was acknowledged is stored", LIMIT, || {
        (stored() >= expected).then_some(())
    })?;
    wait::until("the spool is empty", LIMIT, || {
        (segments(&rig.spool(0)).ok()? == 0).then_some(())
    })?;
    let stored = stored();
    ensure!(
        stored == expected,
        "{stored} events are stored of {expected}"
    );
    Ok(())
}

fn segments(spool: &Path) -> anyhow::Result<usize> {
    let files = std::fs::read_dir(spool)?;
    let segments = files.flatten().filter(|file| {
        let path = file.path();
        path.extension().is_some_and(|it| it == "segment")
    });
    Ok(segments.count())
}
