//! Pictures that are sent: H.264 with AAC in MPEG-TS, at a constant rate.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use nix::fcntl::{Flock, FlockArg};

use crate::program::Program;

/// How long the clip is: what is judged, what a player misses while it joins,
/// and the end that a closing sender may lose.
pub const LENGTH: Duration = Duration::from_secs(30);

/// What a clip shows.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// What the file's name begins with.
    pub name: &'static str,
    /// How long it is.
    pub length: Duration,
    /// Such as `1920x1080`, 30 pictures a second.
    pub size: &'static str,
    /// The picture's rate.
    pub video_kbps: u32,
}

/// 1080p30; 6 Mbit/s in all.
const LARGE: Recipe = Recipe {
    name: "clip",
    length: LENGTH,
    size: "1920x1080",
    video_kbps: 5500,
};

const TONE: &str = "sine=frequency=440:sample_rate=48000";
/// Key frames each half second.
const ENCODER: &str = "-vf noise=alls=12:allf=t -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 15 \
    -x264-params nal-hrd=cbr:scenecut=0 -c:a aac -b:a 128k -f mpegts";

/// The large clip under `dir`; made at the first call, by whichever process is
/// first.
///
/// # Errors
/// When ffmpeg is missing or fails.
pub fn make(dir: &Path) -> anyhow::Result<PathBuf> {
    make_as(dir, &LARGE)
}

/// The clip of a recipe, in the same way.
///
/// # Errors
/// When ffmpeg is missing or fails.
pub fn make_as(dir: &Path, recipe: &Recipe) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let name = format!("{}-{}s", recipe.name, recipe.length.as_secs());
    let file = |extension| dir.join(&name).with_extension(extension);
    let (path, part) = (file("ts"), file("part"));
    let lock = std::fs::File::create(file("lock"))?;
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    if !path.exists() {
        encode(recipe, &part, &file("log"))?;
        std::fs::rename(part, &path)?;
    }
    Ok(path)
}

fn encode(recipe: &Recipe, part: &Path, log: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("ffmpeg");
    let video = format!("testsrc2=size={}:rate=30", recipe.size);
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &video]);
    command.args(["-f", "lavfi", "-i", TONE]);
    let rate = format!("{}k", recipe.video_kbps);
    for option in ["-b:v", "-minrate", "-maxrate"] {
        command.args([option, &rate]);
    }
    command
        .args(["-bufsize", &format!("{}k", recipe.video_kbps / 2)])
        .args(["-t", &recipe.length.as_secs().to_string()])
        .args(ENCODER.split_whitespace())
        .arg(part);
    let mut encoder = Program::start("ffmpeg", &mut command, log)?;
    let status = encoder.wait(Duration::from_secs(180))?;
    ensure!(
        status.success(),
        "ffmpeg could not make the clip: {}",
        encoder.log()
    );
    Ok(())
}
