//! The picture that is sent: 1080p30 H.264 with AAC in MPEG-TS, 6 Mbit/s.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use nix::fcntl::{Flock, FlockArg};

use crate::program::Program;

/// How long the clip is: what is judged, what a player misses while it joins,
/// and the end that a closing sender may lose.
pub const LENGTH: Duration = Duration::from_secs(24);

const VIDEO: &str = "testsrc2=size=1920x1080:rate=30";
const TONE: &str = "sine=frequency=440:sample_rate=48000";
/// Constant rate with a key frame each half second; with the sound and the
/// container it comes to 6 Mbit/s.
const ENCODER: &str = "-vf noise=alls=12:allf=t -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 15 \
    -b:v 5500k -minrate 5500k -maxrate 5500k -bufsize 2750k -x264-params nal-hrd=cbr:scenecut=0 \
    -c:a aac -b:a 128k -f mpegts";

/// The clip under `dir`; made at the first call, by whichever process is first.
///
/// # Errors
/// When ffmpeg is missing or fails.
pub fn make(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("clip.ts");
    let lock = std::fs::File::create(dir.join("clip.lock"))?;
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    if !path.exists() {
        encode(&dir.join("clip.part"), dir)?;
        std::fs::rename(dir.join("clip.part"), &path)?;
    }
    Ok(path)
}

fn encode(part: &Path, dir: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", VIDEO, "-f", "lavfi", "-i", TONE,
    ]);
    command
        .args(["-t", &LENGTH.as_secs().to_string()])
        .args(ENCODER.split_whitespace())
        .arg(part);
    let mut encoder = Program::start("ffmpeg", &mut command, &dir.join("clip.log"))?;
    let status = encoder.wait(Duration::from_secs(180))?;
    ensure!(
        status.success(),
        "ffmpeg could not make the clip: {}",
        encoder.log()
    );
    Ok(())
}
