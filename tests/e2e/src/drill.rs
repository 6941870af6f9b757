//! Garbage at a node while it carries a stream, and what came of it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::flood::{Flood, Outcome};
use crate::house::{House, Options, Service};
use crate::metrics::Metrics;
use crate::{clip, media, transport_stream};

/// Datagrams without effect, by reason.
pub const DROPPED: &str = "streamhaul_relay_dropped_datagrams_total";
/// Callers refused, by reason.
pub const REFUSED: &str = "streamhaul_relay_refusals_total";

/// What a garbage drill found.
#[derive(Debug)]
pub struct Finding {
    /// What the sockets saw.
    pub outcome: Outcome,
    /// Datagrams dropped by reason, while it lasted.
    pub dropped: Vec<(String, f64)>,
    /// Datagrams that the kernel threw away before the node saw them.
    pub kernel_drops: u64,
    /// Bytes of memory that the node grew by.
    pub grown_bytes: u64,
    /// Lines that the node logged, at level DEBUG.
    pub logged_lines: usize,
    /// Whether the stream came out as it went in, and what was wrong.
    pub stream: Result<(), String>,
}

/// Reasons that such a flood must meet, each.
const REASONS: [&str; 5] = [
    "malformed",
    "not_handshake",
    "bad_handshake",
    "bad_cookie",
    "unknown_socket",
];
const GROWN_BYTES_MAX: u64 = 8 << 20;
const LOGGED_LINES_MAX: usize = 1000;

/// Starts a house and a stream, sends the flood, and looks.
///
/// # Errors
/// When the house or the stream does not come up.
pub fn garbage(flood: Flood, clip: &Path) -> anyhow::Result<Finding> {
    let options = Options::patient().with(Service::RelayNode, "KIT__LOG__FILTER", "debug");
    let house = House::start_with(options)?;
    let session = house.start_session("cam1")?;
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let mut publisher = media::publish_repeatedly(clip, 100, &session.publish_url, &sent)?;
    house.wait_publishers(1)?;
    let mut player = media::record(&session.play_url, &received)?;
    std::thread::sleep(Duration::from_secs(3));

    let before = Look::at(&house)?;
    let outcome = flood.run(house.relay())?;
    // Metrics are a second old.
    std::thread::sleep(Duration::from_secs(2));
    let after = Look::at(&house)?;

    ensure!(
        publisher.is_running()?,
        "the publisher left: {}",
        publisher.log()
    );
    publisher.kill()?;
    house.end_session(&session, &mut player, &received)?;
    let stream = check_stream(&sent, &received, clip).map_err(|error| format!("{error:#}"));
    Ok(after.since(&before, outcome, stream))
}

/// Judges that a player received what a sender sent until it was killed: the
/// last seconds of either file are not judged.
///
/// # Errors
/// When something is missing or changed.
pub fn check_stream(sent: &Path, received: &Path, clip: &Path) -> anyhow::Result<()> {
    let second = usize::try_from(std::fs::metadata(clip)?.len() / clip::LENGTH.as_secs())?;
    let (sent, mut received) = (std::fs::read(sent)?, std::fs::read(received)?);
    let judged = received.len().saturating_sub(2 * second);
    received.truncate(judged - judged % transport_stream::PACKET_BYTES);
    transport_stream::check_identical(&sent, &received, 4 * second, 4 * second)
}

/// The node at one moment.
struct Look {
    metrics: Metrics,
    kernel_drops: u64,
    resident_bytes: u64,
    logged_lines: usize,
}

impl Look {
    fn at(house: &House) -> anyhow::Result<Self> {
        Ok(Self {
            metrics: house.metrics(Service::RelayNode)?,
            kernel_drops: kernel_drops(house.relay())?,
            resident_bytes: house.service(Service::RelayNode)?.resident_bytes()?,
            logged_lines: std::fs::read_to_string(house.log(Service::RelayNode))?
                .lines()
                .count(),
        })
    }

    fn since(&self, before: &Self, outcome: Outcome, stream: Result<(), String>) -> Finding {
        let reasons = self.metrics.label_values(DROPPED, "reason");
        let count = |look: &Self, reason: &str| look.metrics.labelled(DROPPED, "reason", reason);
        let dropped = reasons
            .into_iter()
            .map(|reason| (count(self, &reason) - count(before, &reason), reason));
        Finding {
            outcome,
            dropped: dropped.map(|(count, reason)| (reason, count)).collect(),
            kernel_drops: self.kernel_drops - before.kernel_drops,
            grown_bytes: self.resident_bytes.saturating_sub(before.resident_bytes),
            logged_lines: self.logged_lines - before.logged_lines,
            stream,
        }
    }
}

/// Datagrams that found a buffer full, of all sockets on this port: the last
/// column.
pub(crate) fn kernel_drops(socket: SocketAddr) -> anyhow::Result<u64> {
    let table =
        std::fs::read_to_string("/proc/net/udp6")? + &std::fs::read_to_string("/proc/net/udp")?;
    let port = format!(":{:04X}", socket.port());
    let is_it = |line: &&str| {
        line.split_whitespace()
            .nth(1)
            .is_some_and(|local| local.ends_with(&port))
    };
    let dropped = |line: &str| Ok(line.split_whitespace().last().unwrap_or_default().parse()?);
    let sockets: anyhow::Result<Vec<u64>> = table.lines().filter(is_it).map(dropped).collect();
    let sockets = sockets?;
    ensure!(!sockets.is_empty(), "the node's socket is not open");
    Ok(sockets.iter().sum())
}

impl Finding {
    /// Every datagram that can be accounted for: dropped under a reason,
    /// answered, or never seen by the node.
    #[must_use]
    pub fn accounted(&self) -> f64 {
        let dropped: f64 = self.dropped.iter().map(|(_, count)| count).sum();
        dropped + self.outcome.replies as f64 + self.kernel_drops as f64
    }

    /// Checks that the garbage changed nothing.
    ///
    /// # Errors
    /// With what it changed.
    pub fn judge(&self) -> anyhow::Result<()> {
        let outcome = self.outcome;
        ensure!(
            outcome.amplified == 0,
            "{} replies were larger than their requests",
            outcome.amplified
        );
        for reason in REASONS {
            let counted = self
                .dropped
                .iter()
                .any(|(other, count)| other == reason && *count > 0.0);
            ensure!(counted, "nothing was counted as {reason}");
        }
        let share = self.accounted() / outcome.sent as f64;
        ensure!(
            share >= 0.99,
            "only {share:.4} of what was sent is accounted for"
        );
        ensure!(
            self.grown_bytes <= GROWN_BYTES_MAX,
            "the node grew by {} bytes",
            self.grown_bytes
        );
        ensure!(
            self.logged_lines <= LOGGED_LINES_MAX,
            "the node logged {} lines",
            self.logged_lines
        );
        self.stream
            .clone()
            .map_err(|error| anyhow::anyhow!("the stream was disturbed: {error}"))
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let dropped: serde_json::Map<_, _> = self
            .dropped
            .iter()
            .map(|(reason, count)| (reason.clone(), json!(count)))
            .collect();
        json!({
            "sent": self.outcome.sent,
            "replies": self.outcome.replies,
            "amplified": self.outcome.amplified,
            "seconds": self.outcome.elapsed.as_secs_f64(),
            "dropped": dropped,
            "kernel_drops": self.kernel_drops,
            "accounted": self.accounted(),
            "grown_bytes": self.grown_bytes,
            "logged_lines": self.logged_lines,
            "stream_identical": self.stream.is_ok(),
            "passed": self.judge().is_ok(),
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            sent,
            replies,
            elapsed,
            ..
        } = self.outcome;
        writeln!(f, "sent {sent} in {elapsed:?}, {replies} replies")?;
        for (reason, count) in self.dropped.iter().filter(|(_, count)| *count > 0.0) {
            writeln!(f, "  {reason:<20} {count:>10}")?;
        }
        writeln!(f, "  {:<20} {:>10}", "(in the kernel)", self.kernel_drops)?;
        let grown_kib = self.grown_bytes >> 10;
        let logged = self.logged_lines;
        writeln!(f, "memory grew by {grown_kib} KiB, {logged} lines logged")?;
        match self.judge() {
            Ok(()) => writeln!(
                f,
                "nothing else happened: the stream came out as it went in"
            ),
            Err(error) => writeln!(f, "FAILED: {error:#}"),
        }
    }
}
