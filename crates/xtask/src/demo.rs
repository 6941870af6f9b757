//! `cargo xtask up --demo`: a moving picture from a bonded phone through the node, its
//! figures, and the dock to see it in.

mod figures;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use crate::broadcast::{Broadcast, PATIENCE, relay, stream_id, text};
use crate::cli::Up;
use crate::instance::Instance;
use crate::phone::{Carriers, STORY};
use crate::probe::Probe;
use crate::stop::Stop;
use figures::{Figures, Link, Summary};

const TICK: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(50);
/// The connections, as the dock shows them.
const PHONE: &str = "demo-phone";
const DELAY: &str = "demo-delay";

/// The instance's arguments, its log quiet and its carriers made up unless somebody
/// asked for something else.
pub(crate) fn arguments(given: &[OsString], carriers: &Carriers) -> Vec<OsString> {
    let mut arguments = given.to_vec();
    let chosen = |name: &str, variable: &str| {
        let given = given.iter();
        let mut given = given.map(|argument| argument.to_string_lossy());
        given.any(|argument| argument.starts_with(name)) || std::env::var_os(variable).is_some()
    };
    if !chosen("--log", "STREAMHAUL_LOG") {
        arguments.extend(["--log".into(), "warn".into()]);
    }
    if !chosen("--asn-database", "STREAMHAUL_ASN_DATABASE") {
        arguments.extend(["--asn-database".into(), carriers.path().into()]);
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
    tell(&introduction(instance)?, options);
    let shown = demo.follow(options, stop);
    let ended = [&demo.broadcast.session_id, &demo.probed]
        .into_iter()
        .try_for_each(|id| instance.ask(&["relay", "stop", id]).map(drop));
    shown?.conclude(options)?;
    ended
}

/// What there is to see, and where.
fn introduction(instance: &Instance) -> anyhow::Result<String> {
    let dock = text(&instance.ask(&["dock-url"])?, "/url")?;
    Ok(format!(
        "\n{STORY}\n\n\
         The dock:  {dock}\n\
         (this link works once, within 10 minutes; `streamhaul dock-url` prints another)\n\n\
         Open {PHONE}: a bar for each modem, its share of the stream as its length. Follow Verizon through\n\
         its minute while the picture goes on. {DELAY} is what measures the delay that the node adds.\n"
    ))
}

/// Words for people: standard output is for JSON when that is wanted.
fn tell(words: &str, options: &Up) {
    if options.json {
        eprintln!("{words}");
    } else {
        println!("{words}");
    }
}

/// A running demo; dropping it ends its programs.
struct Demo {
    broadcast: Broadcast,
    /// The probe's session.
    probed: String,
    probe: Probe,
}

impl Demo {
    fn start(instance: &Instance, told: &Value, stop: Stop) -> anyhow::Result<Self> {
        let broadcast = Broadcast::start(instance, told, PHONE, stop)?;
        let session = instance.ask(&["relay", "start", "--name", DELAY])?;
        let probe = Probe::start(
            relay(told)?,
            &stream_id(&text(&session, "/srt_publish_url")?)?,
            &stream_id(&text(&session, "/media_source_url")?)?,
        )?;
        Ok(Self {
            broadcast,
            probed: text(&session, "/session_id")?,
            probe,
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
            self.broadcast.check()?;
            if let Some(news) = self.broadcast.phone.go_on(started.elapsed()) {
                tell(&format!("        {news}"), options);
            }
            if let Some(sample) = self.broadcast.live.take() {
                heard = Instant::now();
                let figures = self.figures(&sample, started.elapsed());
                figures.print(options.json)?;
                summary.add(figures);
            }
            ensure!(heard.elapsed() < PATIENCE, "the live view says nothing");
        }
        Ok(summary)
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
            frames_total: self.broadcast.player.frames(),
            added_delay_us: added.map(|(half, _)| us(half)),
            added_delay_p99_us: added.map(|(_, most)| us(most)),
            links: Link::all(sample),
        }
    }
}

/// Sleeps, unless an end is wanted.
pub(crate) fn sleep_until(when: Instant, stop: Stop) {
    while !stop.is_wanted() && Instant::now() < when {
        std::thread::sleep(STEP);
    }
}
