//! Programs people use: ffmpeg and srt-live-transmit as senders and as players.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::program::Program;
use crate::{transport_stream, wait};

/// The same address by way of `hop`.
///
/// # Errors
/// When `url` is not of the form `srt://host:port?…`.
pub fn via(url: &str, hop: SocketAddr) -> anyhow::Result<String> {
    let (_, query) = url
        .split_once('?')
        .with_context(|| format!("{url} has no query"))?;
    Ok(format!("srt://{hop}?{query}"))
}

/// Publishes `clip` in real time with ffmpeg, and writes the very bytes it
/// sends to `sent`.
///
/// # Errors
/// When ffmpeg cannot be started.
pub fn publish(clip: &Path, url: &str, sent: &Path) -> anyhow::Result<Program> {
    publish_repeatedly(clip, 1, url, sent)
}

/// The same, the clip several times over.
///
/// # Errors
/// When ffmpeg cannot be started.
pub fn publish_repeatedly(
    clip: &Path,
    times: u32,
    url: &str,
    sent: &Path,
) -> anyhow::Result<Program> {
    let mut command = ffmpeg();
    command
        .args(["-re", "-stream_loop", &(times - 1).to_string(), "-i"])
        .arg(clip);
    command.args(["-map", "0", "-c", "copy", "-f", "mpegts", url]);
    command
        .args(["-map", "0", "-c", "copy", "-f", "mpegts"])
        .arg(sent);
    Program::start(
        "ffmpeg publishes",
        &mut command,
        &sent.with_extension("log"),
    )
}

/// Plays with ffmpeg and writes the bytes as they come to `received`.
///
/// # Errors
/// When ffmpeg cannot be started.
pub fn record(url: &str, received: &Path) -> anyhow::Result<Program> {
    let mut command = ffmpeg();
    command
        .args([
            "-f", "data", "-i", url, "-map", "0", "-c", "copy", "-f", "data",
        ])
        .arg(received);
    Program::start(
        "ffmpeg records",
        &mut command,
        &received.with_extension("log"),
    )
}

/// Plays with ffmpeg as a player does: takes the stream apart, and says what is
/// wrong with it.
///
/// # Errors
/// When ffmpeg cannot be started.
pub fn watch(url: &str, log: &Path) -> anyhow::Result<Program> {
    let mut command = ffmpeg();
    command.args(["-i", url, "-map", "0", "-c", "copy", "-f", "null", "-"]);
    Program::start("ffmpeg plays", &mut command, log)
}

/// Tries to publish a moment of `clip`; gives what ffmpeg said when it failed.
///
/// # Errors
/// When ffmpeg cannot be started or does not end.
pub fn try_publish(clip: &Path, url: &str, log: &Path) -> anyhow::Result<Result<(), String>> {
    let mut command = ffmpeg();
    command
        .args(["-re", "-t", "1", "-i"])
        .arg(clip)
        .args(["-c", "copy", "-f", "mpegts", url]);
    let mut program = Program::start("ffmpeg", &mut command, log)?;
    let status = program.wait(Duration::from_secs(20))?;
    Ok(if status.success() {
        Ok(())
    } else {
        Err(program.log())
    })
}

pub(crate) fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "warning", "-nostdin", "-nostats", "-y"]);
    command
}

/// Gives a program what it sends; then the program's input, which ends the
/// program when it is dropped.
pub type Feeder = JoinHandle<std::io::Result<ChildStdin>>;

/// srt-live-transmit, given `clip` at its own rate.
///
/// # Errors
/// When it cannot be started.
pub fn transmit(
    clip: &Path,
    length: Duration,
    url: &str,
    log: &Path,
) -> anyhow::Result<(Program, Feeder)> {
    let (program, mut input) = transmit_input(url, log)?;
    let bytes = std::fs::read(clip)?;
    let feeder = std::thread::spawn(move || {
        feed(&mut input, &bytes, length)?;
        Ok(input)
    });
    Ok((program, feeder))
}

/// srt-live-transmit, and where to write what it sends; see [`feed`]. It ends when
/// its input is dropped.
///
/// # Errors
/// When it cannot be started.
pub fn transmit_input(url: &str, log: &Path) -> anyhow::Result<(Program, ChildStdin)> {
    let mut command = Command::new("srt-live-transmit");
    command.args(["-q", "-a:no", "-chunk:1316", "file://con", url]);
    let mut program = Program::start_with(
        "srt-live-transmit sends",
        &mut command,
        log,
        Stdio::piped(),
        None,
    )?;
    let input = program.take_stdin().context("no standard input")?;
    Ok((program, input))
}

/// Seven transport packets, what one SRT packet carries.
pub const CHUNK_BYTES: usize = 7 * 188;

/// Writes transport packets in chunks of what one SRT packet carries, evenly over
/// this time.
///
/// # Errors
/// When the reader is gone.
pub fn feed(mut input: impl Write, bytes: &[u8], length: Duration) -> std::io::Result<()> {
    let started = Instant::now();
    let chunks = bytes.len().div_ceil(CHUNK_BYTES);
    for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
        let due = started + length.mul_f64(index as f64 / chunks as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        input.write_all(chunk)?;
        input.flush()?;
    }
    Ok(())
}

/// What srt-live-transmit may not have written yet: it fills a buffer first.
pub const RECEIVE_BUFFER_BYTES: usize = 8192;

/// srt-live-transmit as a player that writes to `received`.
///
/// # Errors
/// When it cannot be started.
pub fn receive(url: &str, received: &Path) -> anyhow::Result<Program> {
    receive_with(&["-a:no"], url, received)
}

/// The same, calling again when it is cut: as it does by itself.
///
/// # Errors
/// When it cannot be started.
pub fn receive_again(url: &str, received: &Path) -> anyhow::Result<Program> {
    receive_with(&["-a:yes"], url, received)
}

/// The same with options of one's own.
///
/// # Errors
/// When it cannot be started.
pub fn receive_with(options: &[&str], url: &str, received: &Path) -> anyhow::Result<Program> {
    let mut command = Command::new("srt-live-transmit");
    command.arg("-q").args(options).args([url, "file://con"]);
    let output = File::create(received)?;
    let log = received.with_extension("log");
    Program::start_with(
        "srt-live-transmit plays",
        &mut command,
        &log,
        Stdio::null(),
        Some(output),
    )
}

/// srt-live-transmit as a caller that says in its log why it is refused.
///
/// # Errors
/// When it cannot be started.
pub fn call(url: &str, log: &Path) -> anyhow::Result<Program> {
    let mut command = Command::new("srt-live-transmit");
    command.args(["-a:no", "-loglevel:warning", "file://con", url]);
    Program::start_with(
        "srt-live-transmit calls",
        &mut command,
        log,
        Stdio::piped(),
        None,
    )
}

/// A libsrt listener at `address` that takes callers with this passphrase.
///
/// # Errors
/// When it cannot be started.
pub fn listen(address: SocketAddr, passphrase: &str, log: &Path) -> anyhow::Result<Program> {
    let url = format!("srt://{address}?mode=listener&passphrase={passphrase}");
    let mut command = Command::new("srt-live-transmit");
    command.args([&url, "file://con"]);
    Program::start("srt-live-transmit listens", &mut command, log)
}

/// A clip with null packets behind it, and how many bytes these are: they push the
/// clip's end through srt-live-transmit on either side, which fills buffers before it
/// passes them on.
///
/// # Errors
/// When it cannot be read.
pub fn padded(clip: &Path) -> anyhow::Result<(Vec<u8>, usize)> {
    const PADDING_BYTES: usize = 50 * CHUNK_BYTES;
    let mut bytes = std::fs::read(clip)?;
    let end = bytes.len() + PADDING_BYTES;
    while bytes.len() < end {
        bytes.extend(transport_stream::NULL_PACKET);
    }
    Ok((bytes, PADDING_BYTES))
}

/// Waits until a player has written so many bytes.
///
/// # Errors
/// When it has not within half a minute.
pub fn wait_received(bytes: usize, received: &Path) -> anyhow::Result<()> {
    let what = format!("the player has {bytes} bytes");
    let has_all = || (size(received) >= bytes as u64).then_some(());
    wait::until(&what, Duration::from_secs(30), has_all)
        .with_context(|| format!("it has {}", size(received)))
}

/// Waits until a player has received all there is.
///
/// # Errors
/// When more comes for half a minute.
pub fn settle(received: &Path) -> anyhow::Result<()> {
    const QUIET: Duration = Duration::from_secs(3);
    let mut seen = (size(received), Instant::now());
    wait::until("the player has it all", Duration::from_secs(30), || {
        if size(received) != seen.0 {
            seen = (size(received), Instant::now());
        }
        (seen.1.elapsed() > QUIET).then_some(())
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The hash of every decoded picture of a file, in order (`-f framemd5`).
///
/// # Errors
/// When ffmpeg is missing or fails.
pub fn picture_hashes(file: &Path) -> anyhow::Result<Vec<String>> {
    let output = ffmpeg()
        .args(["-v", "quiet", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-f", "framemd5", "-"])
        .output()
        .context("ffmpeg is missing: apt-get install --yes ffmpeg")?;
    ensure!(
        output.status.success(),
        "ffmpeg cannot decode {}",
        file.display()
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(hashes(&text).collect())
}

/// The hashes in what `-f framemd5` wrote.
pub(crate) fn hashes(framemd5: &str) -> impl Iterator<Item = String> {
    let lines = framemd5.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit(", ").next())
        .map(|hash| hash.trim().to_owned())
}

/// The same, kept beside the file for the next caller.
///
/// # Errors
/// When ffmpeg is missing or fails.
pub fn picture_hashes_kept(file: &Path) -> anyhow::Result<Vec<String>> {
    let kept: PathBuf = file.with_extension("framemd5");
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(text.lines().map(str::to_owned).collect());
    }
    let hashes = picture_hashes(file)?;
    // Others may be writing the same; a rename is whole or not at all.
    let part = file.with_extension(format!("framemd5-{}", std::process::id()));
    std::fs::write(&part, hashes.join("\n"))?;
    std::fs::rename(part, kept)?;
    Ok(hashes)
}

/// Judges that the pictures received are those sent, none missing and none
/// changed, from the first one that a player can decode, but for `tail` at the
/// end. A player that joins mid-stream shows up to `lead` broken ones first.
///
/// # Errors
/// When they are not, with the first difference.
pub fn check_pictures(
    sent: &[String],
    received: &[String],
    lead: usize,
    tail: usize,
) -> anyhow::Result<usize> {
    let places: HashMap<&String, usize> = sent
        .iter()
        .enumerate()
        .map(|(place, hash)| (hash, place))
        .collect();
    let first = received
        .iter()
        .take(lead)
        .position(|hash| places.contains_key(hash));
    let first = first.context("no picture received first was ever sent")?;
    let start = places[&received[first]];
    let judged = sent.len().saturating_sub(tail).saturating_sub(start);
    for offset in 0..judged {
        let same = received.get(first + offset) == Some(&sent[start + offset]);
        ensure!(
            same,
            "picture {} of {} sent was not received as picture {}",
            start + offset,
            sent.len(),
            first + offset
        );
    }
    Ok(judged)
}
