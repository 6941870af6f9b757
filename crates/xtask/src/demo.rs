//! `cargo xtask up --demo`: a moving picture through the node, and its figures.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use e2e::program::{Program, tail};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::Up;
use crate::instance::Instance;
use crate::live::LiveView;
use crate::picture::{self, Player};
use crate::probe::Probe;
use crate::stop::Stop;

const TICK: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);
/// How long the picture may take from ffmpeg's start to the first figures.
const PATIENCE: Duration = Duration::from_secs(30);

/// The instance's arguments, its log quiet unless somebody asked for it.
pub(crate) fn arguments(given: &[OsString]) -> Vec<OsString> {
    let mut arguments = given.to_vec();
    let chosen = |argument: &OsString| argument.to_string_lossy().starts_with("--log");
    if !given.iter().any(chosen) && std::env::var_os("STREAMHAUL_LOG").is_none() {
        arguments.extend(["--log".into(), "warn".into()]);
    }
    arguments
}

/// Runs the demo on an instance that was just started, then stops both.
pub(crate) fn run(mut instance: Instance, options: &Up, stop: Stop) -> anyhow::Result<ExitCode> {
    let Some(told) = instance.wait_ready(stop)? else {
        instance.stop()?;
        return Ok(ExitCode::SUCCESS);
    };
    let shown = show(&instance, &told, options, stop);
    let stopped = instance.stop();
    shown?;
    let status = stopped?;
    ensure!(status.success(), "streamhaul up ended: {status}");
    Ok(ExitCode::SUCCESS)
}

fn show(instance: &Instance, told: &Value, options: &Up, stop: Stop) -> anyhow::Result<()> {
    let mut demo = Demo::start(instance, told, stop)?;
    let shown = demo.follow(options, stop);
    let ended = demo
        .session_ids
        .iter()
        .try_for_each(|id| instance.ask(&["relay", "stop", id]).map(drop));
    shown?.conclude(options)?;
    ended
}

/// What is shown each second.
#[derive(Debug, Serialize)]
struct Figures {
    seconds: u64,
    /// What the node receives and sends.
    ingress_bitrate_bps: u64,
    egress_bitrate_bps: u64,
    /// Between the publisher and the node.
    rtt_ms: f64,
    /// Packets that the node gave up, of all.
    loss_ratio: f64,
    packets_lost_total: u64,
    packets_recovered_total: u64,
    /// Frames that the player decoded.
    frames_total: u64,
    /// What the node adds to a datagram's way.
    added_delay_us: Option<f64>,
    added_delay_p99_us: Option<f64>,
}

/// What the demo comes to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Seconds with figures.
    seconds: u64,
    ingress_bitrate_bps_max: u64,
    egress_bitrate_bps_max: u64,
    last: Option<Figures>,
}

/// The programs of a running demo; dropping it ends them.
struct Demo {
    /// The picture's and the probe's.
    session_ids: [String; 2],
    publisher: Program,
    player: Player,
    probe: Probe,
    live: LiveView,
    _logs: TempDir,
}

impl Demo {
    fn start(instance: &Instance, told: &Value, stop: Stop) -> anyhow::Result<Self> {
        let logs = tempfile::Builder::new()
            .prefix("streamhaul-demo-")
            .tempdir()?;
        let relay: SocketAddr = text(told, "/relay_udp")?.parse().context("relay_udp")?;
        let session = instance.ask(&["relay", "start", "--name", "demo"])?;
        let probed = instance.ask(&["relay", "start", "--name", "demo-delay"])?;
        let probe = Probe::start(
            relay,
            &stream_id(&text(&probed, "/srt_publish_url")?)?,
            &stream_id(&text(&probed, "/media_source_url")?)?,
        )?;
        let session_ids = [
            text(&session, "/session_id")?,
            text(&probed, "/session_id")?,
        ];
        let live = LiveView::follow(
            &text(told, "/gateway_http")?,
            &session_ids[0],
            &text(told, "/admin_token")?,
        )?;
        let mut publisher = picture::publish(
            &text(&session, "/srt_publish_url")?,
            &logs.path().join("publish.log"),
        )?;
        wait_published(&live, &mut publisher, stop)?;
        let player = picture::play(
            &text(&session, "/media_source_url")?,
            &logs.path().join("play.log"),
        )?;
        Ok(Self {
            session_ids,
            publisher,
            player,
            probe,
            live,
            _logs: logs,
        })
    }

    /// Prints a line each second until the end.
    fn follow(&mut self, options: &Up, stop: Stop) -> anyhow::Result<Summary> {
        let started = Instant::now();
        let mut heard = Instant::now();
        let mut summary = Summary::default();
        let mut next = started + TICK;
        while !stop.is_wanted()
            && options
                .seconds
                .is_none_or(|wanted| summary.seconds < wanted)
        {
            sleep_until(next, stop);
            next += TICK;
            self.check()?;
            if let Some(sample) = self.live.take() {
                heard = Instant::now();
                let figures = self.figures(&sample, started.elapsed());
                figures.print(options.json)?;
                summary.add(figures);
            }
            ensure!(heard.elapsed() < PATIENCE, "the live view says nothing");
        }
        Ok(summary)
    }

    /// Both ffmpegs must still run.
    fn check(&mut self) -> anyhow::Result<()> {
        for (what, program) in [
            ("publishing", &mut self.publisher),
            ("playing", &mut self.player.program),
        ] {
            if !program.is_running()? {
                bail!("the {what} ffmpeg ended:\n{}", tail(&program.log(), 10));
            }
        }
        Ok(())
    }

    fn figures(&self, sample: &Value, elapsed: Duration) -> Figures {
        let number = |pointer: &str| sample.pointer(pointer).and_then(Value::as_u64);
        let publisher = |field: &str| number(&format!("/publisher/{field}")).unwrap_or(0);
        let (packets, dropped) = (
            publisher("packets_total"),
            publisher("packets_dropped_total"),
        );
        let added = self.probe.added();
        let us = |delay: Duration| (delay.as_nanos() as f64 / 100.0).round() / 10.0;
        Figures {
            seconds: elapsed.as_secs(),
            ingress_bitrate_bps: number("/ingress_bitrate_bps").unwrap_or(0),
            egress_bitrate_bps: number("/egress_bitrate_bps").unwrap_or(0),
            rtt_ms: publisher("rtt_us") as f64 / 1000.0,
            loss_ratio: dropped as f64 / (packets + dropped).max(1) as f64,
            packets_lost_total: publisher("packets_lost_total"),
            packets_recovered_total: publisher("packets_recovered_total"),
            frames_total: self.player.frames(),
            added_delay_us: added.map(|(half, _)| us(half)),
            added_delay_p99_us: added.map(|(_, most)| us(most)),
        }
    }
}

impl Summary {
    fn add(&mut self, figures: Figures) {
        self.seconds += 1;
        self.ingress_bitrate_bps_max = self
            .ingress_bitrate_bps_max
            .max(figures.ingress_bitrate_bps);
        self.egress_bitrate_bps_max = self.egress_bitrate_bps_max.max(figures.egress_bitrate_bps);
        self.last = Some(figures);
    }

    /// Whether a picture went in, came out and was decoded.
    fn has_moved(&self) -> bool {
        let decoded = self.last.as_ref().is_some_and(|last| last.frames_total > 0);
        decoded && self.ingress_bitrate_bps_max > 0 && self.egress_bitrate_bps_max > 0
    }

    /// Prints the last line; a demo that was to run for a time fails when its
    /// figures stood still.
    fn conclude(&self, options: &Up) -> anyhow::Result<()> {
        if options.json {
            println!("{}", serde_json::json!({ "summary": self }));
        } else if let Some(last) = &self.last {
            println!("after {} s: {}", self.seconds, last.line().trim_start());
        }
        ensure!(
            options.seconds.is_none() || self.has_moved(),
            "no picture came through: {self:?}"
        );
        Ok(())
    }
}

impl Figures {
    fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.line());
        }
        Ok(())
    }

    fn line(&self) -> String {
        let mbps = |bps: u64| bps as f64 / 1e6;
        let delay = match (self.added_delay_us, self.added_delay_p99_us) {
            (Some(half), Some(most)) => format!("{half:.0} µs (p99 {most:.0} µs)"),
            _ => "…".into(),
        };
        format!(
            "{:>5} s   in {:>5.2} Mbit/s   out {:>5.2} Mbit/s   RTT {:>5.2} ms   loss {:>5.2} % \
             ({} of {} repaired)   frames {:>6}   added delay {delay}",
            self.seconds,
            mbps(self.ingress_bitrate_bps),
            mbps(self.egress_bitrate_bps),
            self.rtt_ms,
            self.loss_ratio * 100.0,
            self.packets_recovered_total,
            self.packets_lost_total,
            self.frames_total,
        )
    }
}

/// A player is refused until somebody publishes.
fn wait_published(live: &LiveView, publisher: &mut Program, stop: Stop) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sample = live.take();
        if stop.is_wanted() || sample.is_some_and(|sample| sample["publishing"] == true) {
            return Ok(());
        }
        if !publisher.is_running()? || Instant::now() > deadline {
            bail!("nothing is published:\n{}", tail(&publisher.log(), 10));
        }
        std::thread::sleep(STEP);
    }
}

fn sleep_until(when: Instant, stop: Stop) {
    while !stop.is_wanted() && Instant::now() < when {
        std::thread::sleep(STEP);
    }
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    let found = found.with_context(|| format!("no text at {pointer}"))?;
    Ok(found.to_owned())
}

/// The stream id in `srt://host:port?streamid=…&…`.
fn stream_id(url: &str) -> anyhow::Result<String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let found = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("streamid="));
    Ok(found.context("a URL without a stream id")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_is_found_in_its_url() {
        let url = "srt://127.0.0.1:5000?mode=caller&streamid=live_0af&transtype=live";
        assert_eq!(stream_id(url).unwrap(), "live_0af");
        assert!(stream_id("srt://127.0.0.1:5000").is_err());
    }

    #[test]
    fn a_picture_that_nobody_decodes_has_not_moved() {
        let mut summary = Summary::default();
        assert!(!summary.has_moved());
        summary.add(Figures {
            frames_total: 0,
            ..figures()
        });
        assert!(!summary.has_moved());
        summary.add(figures());
        assert!(summary.has_moved());
        assert_eq!(summary.seconds, 2);
    }

    #[test]
    fn the_line_has_every_figure() {
        let line = figures().line();
        for part in [
            "4.00 Mbit/s",
            "4.10 Mbit/s",
            "0.40 ms",
            "0.00 %",
            "2 of 2",
            "88",
            "32 µs (p99 95 µs)",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    fn figures() -> Figures {
        Figures {
            seconds: 3,
            ingress_bitrate_bps: 4_000_000,
            egress_bitrate_bps: 4_100_000,
            rtt_ms: 0.4,
            loss_ratio: 0.0,
            packets_lost_total: 2,
            packets_recovered_total: 2,
            frames_total: 88,
            added_delay_us: Some(31.5),
            added_delay_p99_us: Some(95.0),
        }
    }
}
