//! What must be true of the whole, one module a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is the report, and helpers are tests too"
)]

mod bad_input;
mod bans;
mod behaviours;
mod bench_control;
mod bench_relay;
mod crashes;
mod encryption;
mod flood;
mod jobs;
mod keys;
mod links;
mod metrics;
mod moves;
mod picture;
mod replica;
mod restart;
mod settings;
mod tls;

use std::path::PathBuf;
use std::sync::Mutex;

use streamhaul_e2e::clip;

/// Two heavy streams on a small machine disturb each other: one house at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn clip_path() -> PathBuf {
    clip::make(&PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

/// What a player of ffmpeg's stream may miss while it joins, in seconds: ffmpeg does
/// not wait for it. What is left of the clip is judged.
const JOINING: usize = 9;

/// Bytes of the clip that `seconds` of it take.
fn bytes_of(seconds: usize) -> usize {
    let length = usize::try_from(std::fs::metadata(clip_path()).unwrap().len()).unwrap();
    length * seconds / usize::try_from(clip::LENGTH.as_secs()).unwrap()
}
