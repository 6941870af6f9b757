//! Streams of which every picture is known, and a player that says which ones
//! it decoded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::media;
use crate::program::Program;
use crate::transport_stream::PACKET_BYTES;
use crate::wait;

/// Pictures a second.
pub const RATE: usize = 25;
/// Pictures from one key frame to the next.
pub const GROUP: usize = 2 * RATE;

/// How long a player may take to decode what it is waited for.
const PATIENCE: Duration = Duration::from_secs(40);

/// What one encoder sends from its start on, again and again the same; no two
/// pictures are alike, of other runs neither.
#[derive(Debug)]
pub struct Run {
    /// The MPEG-TS file.
    pub clip: PathBuf,
    hashes: Vec<String>,
}

impl Run {
    /// Makes `<name>.ts` below `dir`: `seconds` of ffmpeg's test picture through
    /// `filter`, and a tone.
    ///
    /// # Errors
    /// When ffmpeg is missing or fails.
    pub fn make(dir: &Path, name: &str, filter: &str, seconds: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let clip = dir.join(name).with_extension("ts");
        let part = dir.join(format!("{name}-{}.part", std::process::id()));
        let picture = format!("testsrc2=size=320x180:rate={RATE},{filter}");
        let sound = "sine=frequency=440:sample_rate=48000";
        let mut command = media::ffmpeg();
        command.args(["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", sound]);
        command.args(["-t", &seconds.to_string(), "-g", &GROUP.to_string()]);
        let encoder = "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -x264-params scenecut=0 \
            -c:a aac -b:a 64k -f mpegts";
        command.args(encoder.split_whitespace()).arg(&part);
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "ffmpeg: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::rename(part, &clip)?;
        let hashes = media::picture_hashes(&clip)?;
        ensure!(
            hashes.len() == seconds * RATE,
            "{} pictures in {seconds} s",
            hashes.len()
        );
        Ok(Self { clip, hashes })
    }

    /// The bytes of the clip before this picture begins.
    ///
    /// # Errors
    /// When there is no such picture.
    pub fn bytes_before(&self, picture: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = std::fs::read(&self.clip)?;
        let packets = bytes.chunks_exact(PACKET_BYTES);
        let mut begins = packets
            .enumerate()
            .filter(|(_, packet)| is_start_of_picture(packet));
        let (packet, _) = begins.nth(picture).context("no such picture")?;
        bytes.truncate(packet * PACKET_BYTES);
        Ok(bytes)
    }

    /// How many pictures it has.
    #[must_use]
    pub const fn pictures(&self) -> usize {
        self.hashes.len()
    }
}

/// Whether a transport packet begins a unit of ffmpeg's first stream, the video.
fn is_start_of_picture(packet: &[u8]) -> bool {
    const VIDEO_PID: u16 = 0x100;
    let word = u16::from_be_bytes([packet[1], packet[2]]);
    let is_start = word & 0x4000 != 0;
    is_start && word & 0x1fff == VIDEO_PID
}

/// A decoded picture: which run it is of, and its number there; `None` when it
/// is of none, so broken.
pub type Decoded = Option<(usize, usize)>;

/// Whether a player keeps what it read to find out what the stream is made of:
/// OBS's media source does unless its network buffering is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// It decodes that first.
    Kept,
    /// It goes on with the newest (`nobuffer`).
    Dropped,
}

/// ffmpeg as OBS's media source uses it: every picture is decoded as it comes.
#[derive(Debug)]
pub struct Player {
    /// The process.
    pub program: Program,
    decoded: PathBuf,
}

impl Player {
    /// Plays `url`; writes below `dir` under this name.
    ///
    /// # Errors
    /// When ffmpeg cannot be started.
    pub fn start(url: &str, probed: Probed, dir: &Path, name: &str) -> anyhow::Result<Self> {
        let decoded = dir.join(name).with_extension("framemd5");
        let mut command = media::ffmpeg();
        if probed == Probed::Dropped {
            command.args(["-fflags", "nobuffer"]);
        }
        // A second of the stream is enough; ffmpeg takes five by itself.
        command.args(["-analyzeduration", "1000000", "-i", url, "-map", "0:v"]);
        // Each decoded picture once: none is repeated or left out for its time.
        command.args(["-fps_mode", "passthrough", "-f", "framemd5"]);
        command.args(["-flush_packets", "1"]).arg(&decoded);
        let program = Program::start(name, &mut command, &decoded.with_extension("log"))?;
        Ok(Self { program, decoded })
    }

    /// What it has decoded so far, in order.
    #[must_use]
    pub fn decoded(&self, runs: &[&Run]) -> Vec<Decoded> {
        let text = std::fs::read_to_string(&self.decoded).unwrap_or_default();
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        recognise(media::hashes(whole), runs)
    }

    /// Waits until it has decoded a picture of this run with at least this number.
    ///
    /// # Errors
    /// When it does not, with what it said.
    pub fn wait_decoded(&self, runs: &[&Run], run: usize, number: usize) -> anyhow::Result<()> {
        let is_it = |decoded: &Decoded| decoded.is_some_and(|(r, n)| r == run && n >= number);
        let what = format!("picture {number} of run {run} is decoded");
        let waited = wait::until(&what, PATIENCE, || {
            self.decoded(runs).iter().any(is_it).then_some(())
        });
        waited.map_err(|error| error.context(self.program.log()))
    }
}

/// The pictures of a file that a player wrote, in order.
///
/// # Errors
/// When ffmpeg cannot decode it.
pub fn decode(file: &Path, runs: &[&Run]) -> anyhow::Result<Vec<Decoded>> {
    Ok(recognise(media::picture_hashes(file)?.into_iter(), runs))
}

fn recognise(hashes: impl Iterator<Item = String>, runs: &[&Run]) -> Vec<Decoded> {
    let mut places = HashMap::new();
    for (run, of_run) in runs.iter().enumerate() {
        let numbered = of_run.hashes.iter().enumerate();
        places.extend(numbered.map(|(number, hash)| (hash.as_str(), (run, number))));
    }
    hashes
        .map(|hash| places.get(hash.as_str()).copied())
        .collect()
}

/// The numbers of one run's pictures, in the order in which they were decoded.
#[must_use]
pub fn of_run(decoded: &[Decoded], run: usize) -> Vec<usize> {
    let known = decoded.iter().flatten();
    known
        .filter(|(of, _)| *of == run)
        .map(|(_, number)| *number)
        .collect()
}

/// Judges that pictures came one after the other, each run's after those of the
/// one before, none left out within a run, none twice.
///
/// # Errors
/// When two do not follow each other.
pub fn check_order(decoded: &[Decoded]) -> anyhow::Result<()> {
    let known: Vec<(usize, usize)> = decoded.iter().flatten().copied().collect();
    for pair in known.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        let follows = after.0 > before.0 || after == (before.0, before.1 + 1);
        ensure!(follows, "picture {after:?} came behind {before:?}");
    }
    Ok(())
}
