//! The demo's picture: ffmpeg publishes it, another ffmpeg plays it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use e2e::program::Program;

/// What an SRT packet carries.
const PACKET_SIZE: &str = "&pkt_size=1316";

/// Publishes a moving picture with a clock in it, and a tone.
pub(crate) fn publish(url: &str, log: &Path) -> anyhow::Result<Program> {
    let mut command = ffmpeg();
    command.args(["-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"]);
    command.args([
        "-re",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
    ]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
    ]);
    command.args(["-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M", "-g", "60"]);
    command.args(["-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k"]);
    command.args(["-f", "mpegts", &format!("{url}{PACKET_SIZE}")]);
    Program::start("the publishing ffmpeg", &mut command, log)
}

/// A playing ffmpeg, and what it has decoded.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) program: Program,
    pub(crate) frames: Arc<AtomicU64>,
}

/// Plays and decodes a stream, and shows it to nobody.
pub(crate) fn play(url: &str, log: &Path) -> anyhow::Result<Player> {
    let mut command = ffmpeg();
    // Look at half a second of it, not five, before decoding.
    command.args(["-fflags", "nobuffer", "-analyzeduration", "500000"]);
    // Its default is to look at five seconds before it begins.
    command.args(["-analyzeduration", "1000000", "-i", url]);
    command.args(["-progress", "pipe:1", "-stats_period", "0.5"]);
    command.args(["-f", "null", "-"]);
    let (reader, writer) = std::io::pipe().context("a pipe for ffmpeg's progress")?;
    let writer = File::from(std::os::fd::OwnedFd::from(writer));
    let program = Program::start_with(
        "the playing ffmpeg",
        &mut command,
        log,
        Stdio::null(),
        Some(writer),
    )?;
    let frames = Arc::<AtomicU64>::default();
    let counted = frames.clone();
    std::thread::Builder::new()
        .name("progress".into())
        .spawn(move || follow(BufReader::new(reader), &counted))?;
    Ok(Player { program, frames })
}

impl Player {
    /// Frames decoded so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }
}

fn follow(progress: impl BufRead, frames: &AtomicU64) {
    for line in progress.lines().map_while(Result::ok) {
        let count = line.strip_prefix("frame=");
        if let Some(count) = count.and_then(|count| count.trim().parse().ok()) {
            frames.store(count, Ordering::Relaxed);
        }
    }
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-hide_banner",
        "-nostdin",
        "-nostats",
        "-loglevel",
        "warning",
    ]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_from_ffmpegs_progress() {
        let frames = AtomicU64::new(0);
        follow(
            "frame=12\nfps=30.0\nframe=27\nprogress=continue\n".as_bytes(),
            &frames,
        );
        assert_eq!(frames.into_inner(), 27);
    }
}
