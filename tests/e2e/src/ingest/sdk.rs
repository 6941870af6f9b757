//! The published SDK syncs to ours, as it is.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, ensure};
use testkit::database::number_in;
use tokio::runtime::Runtime;

use super::rig::Rig;

/// The published crate knows apps by UUIDs only.
const ORG: &str = "550e8400-e29b-41d4-a716-446655440000";
const APP: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
/// What the program tracks each time.
const EVENTS: i64 = 3;
const STORED: &str = "SELECT count(*) FROM telemetry.events";

/// Lets `program` sync twice, then sends the bytes of its first request again.
///
/// # Errors
/// When events are left unsynced, are not stored, or are stored twice.
pub fn check(program: &Path) -> anyhow::Result<()> {
    let rig = Rig::start()?;
    let runtime = Runtime::new().context("start a runtime")?;
    let target = rig.app_named(&runtime, ORG, APP)?;
    let recorder = Recorder::start(rig.http())?;
    let home = tempfile::tempdir()?;
    let stored = || runtime.block_on(number_in(&rig.postgres.url(), STORED));
    for round in 1..=2 {
        let status = Command::new(program)
            .arg(format!("http://{}", recorder.address))
            .args([ORG, APP, "tk_unused", &target.secret])
            .env("HOME", home.path())
            .env_remove("DO_NOT_TRACK")
            .status()
            .with_context(|| format!("run {}", program.display()))?;
        ensure!(status.success(), "the SDK does not sync: {status}");
        let stored = stored();
        ensure!(
            stored == round * EVENTS,
            "{stored} events after round {round}"
        );
    }
    let bytes = recorder.first().context("nothing was sent")?;
    let answer = replay(rig.http(), &bytes)?;
    ensure!(
        answer.starts_with("HTTP/1.1 200"),
        "a replay is answered {answer}"
    );
    let stored = stored();
    ensure!(stored == 2 * EVENTS, "{stored} events after a replay");
    Ok(())
}

/// Passes connections on, and keeps what clients send.
struct Recorder {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = sent.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || pass_on(client, to, &kept));
            }
        });
        Ok(Self { address, sent })
    }

    fn first(&self) -> Option<Vec<u8>> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.first().cloned()
    }
}

fn pass_on(
    mut client: TcpStream,
    to: SocketAddr,
    kept: &Mutex<Vec<Vec<u8>>>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    let (mut back, mut reader) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut reader, &mut back));
    let number = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Vec::new());
        kept.len() - 1
    };
    let mut buffer = [0; 16 << 10];
    loop {
        let length = client.read(&mut buffer)?;
        if length == 0 {
            return server.shutdown(Shutdown::Write);
        }
        kept.lock().unwrap_or_else(PoisonError::into_inner)[number]
            .extend_from_slice(&buffer[..length]);
        server.write_all(&buffer[..length])?;
    }
}

/// The first line of the answer.
fn replay(to: SocketAddr, bytes: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
