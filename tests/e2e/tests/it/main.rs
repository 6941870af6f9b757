//! What must be true of the whole, one module a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is the report, and helpers are tests too"
)]

mod bad_input;
mod crashes;
mod metrics;
mod picture;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use streamhaul_e2e::house::{House, Service};
use streamhaul_e2e::{clip, wait};

/// Two heavy streams on a small machine disturb each other: one house at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn clip_path() -> PathBuf {
    clip::make(&PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

/// Bytes of the clip that `seconds` of it take.
fn bytes_of(seconds: usize) -> usize {
    let length = usize::try_from(std::fs::metadata(clip_path()).unwrap().len()).unwrap();
    length * seconds / usize::try_from(clip::LENGTH.as_secs()).unwrap()
}

/// A player is refused until somebody publishes.
fn wait_published(house: &House, publishers: f64) {
    wait::until(
        "the publisher is connected",
        Duration::from_secs(15),
        || {
            let metrics = house.metrics(Service::RelayNode).ok()?;
            (metrics.labelled("streamhaul_relay_connections", "role", "publish") >= publishers)
                .then_some(())
        },
    )
    .unwrap();
}
