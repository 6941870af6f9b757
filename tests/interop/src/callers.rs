//! The programs at either end of a cell.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use e2e::media::{self, Feeder};
use e2e::program::{Program as Process, tail};
use nix::sys::signal::Signal;

use crate::cell::{Encryption, Program};
use crate::moblin;

/// How long a player tries to be let in: the relay refuses it until it knows the
/// publisher.
const JOIN_LIMIT: Duration = Duration::from_secs(20);
const JOIN_STEP: Duration = Duration::from_millis(50);
const SIGNAL_STEP: Duration = Duration::from_millis(200);
/// How long a program may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Where a caller calls, and with what.
#[derive(Debug, Clone)]
pub struct Call {
    /// The listener, or the path to it.
    pub to: SocketAddr,
    /// What it says as its stream id.
    pub stream_id: String,
    /// What it asks for.
    pub latency: Duration,
    /// With which key length.
    pub encryption: Encryption,
    /// Not used without encryption.
    pub passphrase: String,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// A transport stream.
    pub clip: &'a Path,
    /// How long it plays.
    pub length: Duration,
    /// How long a publisher stays at the end, for what is to be sent again.
    pub linger: Duration,
}

/// A publisher at work.
pub struct Publisher {
    sent: PathBuf,
    kind: Kind,
    linger: Duration,
}

enum Kind {
    Transmit(Process, Feeder),
    Ffmpeg(Process),
    Moblin(JoinHandle<anyhow::Result<()>>),
}

impl Publisher {
    /// Starts `program`; its files begin with `file`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        program: Program,
        call: &Call,
        stream: Stream<'_>,
        file: &Path,
    ) -> anyhow::Result<Self> {
        let url = url(program, call);
        let log = file.with_extension("publisher.log");
        let clip = stream.clip.to_owned();
        let (sent, kind) = match program {
            Program::SrtLiveTransmit => {
                let (process, feeder) = media::transmit(&clip, stream.length, &url, &log)?;
                (clip, Kind::Transmit(process, feeder))
            }
            Program::Ffmpeg | Program::Obs => {
                let sent = file.with_extension("sent.ts");
                let process = media::publish(&clip, &url, &sent)?;
                (sent, Kind::Ffmpeg(process))
            }
            Program::Moblin => (clip, Kind::Moblin(moblin::publish(call.clone(), stream)?)),
        };
        Ok(Self {
            sent,
            kind,
            linger: stream.linger,
        })
    }

    /// Waits until all is sent and, where the program can, what was lost is sent
    /// again. Returns the file that holds what was sent.
    ///
    /// # Errors
    /// When the program failed.
    pub fn finish(self) -> anyhow::Result<PathBuf> {
        match self.kind {
            Kind::Transmit(mut process, feeder) => {
                let fed = feeder.join().ok().context("the feeder panicked")?;
                let _open_input = fed.with_context(|| tail(&process.log(), 10))?;
                std::thread::sleep(self.linger);
                process.kill()?;
            }
            Kind::Ffmpeg(mut process) => {
                let status = process.wait(END_LIMIT)?;
                if !status.success() {
                    bail!("ffmpeg: {status}: {}", tail(&process.log(), 10));
                }
                std::thread::sleep(self.linger);
            }
            Kind::Moblin(thread) => thread.join().ok().context("Moblin panicked")??,
        }
        Ok(self.sent)
    }
}

/// A player at work.
pub struct Player {
    process: Process,
    received: PathBuf,
}

impl Player {
    /// Starts `program`, again whenever it is refused, until something comes.
    ///
    /// # Errors
    /// When nothing comes for long.
    pub fn join(program: Program, call: &Call, file: &Path) -> anyhow::Result<Self> {
        let url = url(program, call);
        let received = file.with_extension("received.ts");
        let mut process = play(program, &url, &received)?;
        let deadline = Instant::now() + JOIN_LIMIT;
        while size(&received) == 0 {
            ensure!(
                Instant::now() < deadline,
                "the player was not let in: {}",
                tail(&process.log(), 10)
            );
            std::thread::sleep(JOIN_STEP);
            if !process.is_running()? {
                process = play(program, &url, &received)?;
            }
        }
        Ok(Self { process, received })
    }

    /// srt-live-transmit, listening on `at` for a publisher that calls it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn listen(at: SocketAddr, latency: Duration, file: &Path) -> anyhow::Result<Self> {
        let url = format!("srt://{at}?mode=listener&latency={}", latency.as_millis());
        let received = file.with_extension("received.ts");
        Ok(Self {
            process: media::receive(&url, &received)?,
            received,
        })
    }

    /// Asks the program to end. Returns the file that holds what it received.
    ///
    /// # Errors
    /// When it does not end.
    pub fn finish(mut self) -> anyhow::Result<PathBuf> {
        // At the first signal ffmpeg ends when the next packet comes, at the second
        // it does not wait for one.
        for _ in 0..2 {
            self.process.signal(Signal::SIGTERM);
            std::thread::sleep(SIGNAL_STEP);
        }
        self.process.wait(END_LIMIT)?;
        Ok(self.received)
    }
}

fn play(program: Program, url: &str, received: &Path) -> anyhow::Result<Process> {
    match program {
        Program::SrtLiveTransmit => media::receive(url, received),
        Program::Ffmpeg | Program::Obs => media::record(url, received),
        Program::Moblin => bail!("Moblin does not play"),
    }
}

/// The address as the users of a program write it: srt-live-transmit takes
/// milliseconds, ffmpeg and OBS microseconds.
fn url(program: Program, call: &Call) -> String {
    let latency = match program {
        Program::SrtLiveTransmit => call.latency.as_millis(),
        _ => call.latency.as_micros(),
    };
    let own = match program {
        Program::Obs => "&mode=caller&transtype=live&pkt_size=1316&timeout=10000000",
        _ => "",
    };
    let key = call
        .encryption
        .key_bytes()
        .map_or_else(String::new, |bytes| {
            format!("&passphrase={}&pbkeylen={bytes}", call.passphrase)
        });
    format!(
        "srt://{}?streamid={}&latency={latency}{own}{key}",
        call.to, call.stream_id
    )
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
