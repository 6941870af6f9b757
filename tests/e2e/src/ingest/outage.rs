//! PostgreSQL is away, the gateway dies meanwhile, and nothing that was acknowledged is lost.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testkit::database::number_in;
use tokio::runtime::Runtime;

use super::rig::{Rig, Setup};
use super::sender::{Batch, Sender};
use crate::wait;

const BATCHES: usize = 40;
/// Events of a request.
const BATCH: usize = 50;
const LIMIT: Duration = Duration::from_secs(60);
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
    let is_taken = |batch: &Batch| matches!(sender.send(batch), Ok(200));
    let first = Batch::new(BATCH, 0);
    wait::until("events are taken", LIMIT, || is_taken(&first).then_some(()))?;
    rig.postgres.kill()?;
    for number in 0..BATCHES {
        let status = sender.send(&Batch::new(BATCH, 0))?;
        ensure!(status == 200, "batch {number} is answered {status}");
    }
    ensure!(segments(&rig.spool(0))? > 0, "the spool is empty");
    rig.kill_gateway(0)?;
    rig.launch(0)?;
    // It does not know its apps yet.
    let status = Sender::new(sender.target().clone()).send(&Batch::new(BATCH, 0))?;
    ensure!(
        status == 503,
        "without a database a gateway begins with {status}"
    );
    rig.postgres.restart()?;
    let url = rig.postgres.url();
    let expected = ((BATCHES + 1) * BATCH) as i64;
    let stored = || runtime.block_on(number_in(&url, STORED));
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
    let status = Sender::new(sender.target().clone()).send(&Batch::new(BATCH, 0))?;
    ensure!(
        status == 200,
        "after the outage a batch is answered {status}"
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
