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
mod history;
mod ingest;
mod jobs;
mod keys;
mod links;
mod metrics;
mod moves;
mod picture;
mod replica;
mod report;
mod restart;
mod settings;
mod tls;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use streamhaul_e2e::house::{House, Session};
use streamhaul_e2e::program::Program;
use streamhaul_e2e::{clip, media, wait};

/// Two heavy streams on a small machine disturb each other: one house at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn clip_path() -> PathBuf {
    clip::make(&PathBuf::from(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

/// A session whose publisher repeats the clip.
struct Published {
    session: Session,
    publisher: Program,
    /// What it has sent.
    sent: PathBuf,
}

/// Lets the callers of the house's stream encrypt: `encryption` says who.
fn encrypt(house: &House, encryption: &str) {
    // The stream comes with its first session; settings bind the next one whole.
    let first = house.start_session("cam1").unwrap();
    house.stop_session(&first).unwrap();
    let listed = house.api().fetch("/api/v1/streams").unwrap();
    let listed = listed.success().unwrap();
    let stream = listed["streams"][0]["stream_id"].as_str().unwrap();
    let path = format!("/api/v1/streams/{stream}/settings");
    let changed = house.api().patch(&path, &json!({"encryption": encryption}));
    changed.unwrap().success().unwrap();
}

fn published(house: &House) -> Published {
    let session = house.start_session("cam1").unwrap();
    let sent = house.file("sent.ts");
    let url = &session.publish_url;
    let publisher = media::publish_repeatedly(&clip_path(), 10, url, &sent).unwrap();
    house.wait_publishers(1).unwrap();
    Published {
        session,
        publisher,
        sent,
    }
}

/// How long a node may take to cut who is connected, and to let them in again.
const CUT_LIMIT: Duration = Duration::from_secs(30);

fn wait_cut(programs: [&mut Program; 2]) {
    for program in programs {
        wait::until("it is cut", CUT_LIMIT, || {
            (!program.is_running().unwrap()).then_some(())
        })
        .unwrap();
    }
}

fn wait_let_in(house: &House, session: &Session) {
    let log = house.file("again.log");
    wait::until("it is let in again", CUT_LIMIT, || {
        let outcome = media::try_publish(&clip_path(), &session.publish_url, &log);
        outcome.unwrap().is_ok().then_some(())
    })
    .unwrap();
}

/// What a player of ffmpeg's stream may miss while it joins, in seconds: ffmpeg does
/// not wait for it. What is left of the clip is judged.
const JOINING: usize = 9;

/// Bytes of the clip that `seconds` of it take.
fn bytes_of(seconds: usize) -> usize {
    let length = usize::try_from(std::fs::metadata(clip_path()).unwrap().len()).unwrap();
    length * seconds / usize::try_from(clip::LENGTH.as_secs()).unwrap()
}
