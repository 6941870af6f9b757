//! A NATS server comes back without the messages of its log, and still knows that they were read:
//! it gives their numbers to others, which seem to be done.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use testkit::database::number_in;
use tokio::runtime::Runtime;

use super::rig::{NatsSetup, Rig, Setup};
use super::sender::{Batch, Sender};
use crate::wait;

/// Before, and as many after.
const BATCHES: usize = 20;
/// Events of a request.
const BATCH: usize = 50;
const LIMIT: Duration = Duration::from_secs(60);
const STORED: &str = "SELECT count(*) FROM telemetry.events";

/// Has the server forget its messages between batches.
///
/// # Errors
/// When batches are not taken afterwards, or one that was acknowledged is not stored once.
pub fn check() -> anyhow::Result<()> {
    let mut rig = Rig::with(Setup {
        nats: Some(NatsSetup {
            writers: 1,
            acknowledges_early: false,
        }),
        ..Setup::default()
    })?;
    let runtime = Runtime::new().context("start a runtime")?;
    let sender = Sender::new(rig.app(&runtime)?);
    send(&sender)?;
    let nats = rig.nats.as_mut().context("NATS does not run")?;
    nats.kill()?;
    nats.forget()?;
    nats.launch()?;
    send(&sender)?;
    let stored = runtime.block_on(number_in(&rig.postgres.url(), STORED));
    let expected = 2 * (BATCHES * BATCH) as i64;
    ensure!(
        stored == expected,
        "{stored} events are stored of {expected}"
    );
    Ok(())
}

/// Sends batches, each until it is acknowledged, as an SDK does.
fn send(sender: &Sender) -> anyhow::Result<()> {
    for _ in 0..BATCHES {
        let batch = Batch::new(BATCH, 0);
        wait::until("a batch is taken", LIMIT, || {
            matches!(sender.send(&batch), Ok(200)).then_some(())
        })?;
    }
    Ok(())
}
