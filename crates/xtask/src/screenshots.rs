//! `cargo xtask screenshots`: the pictures of the dock that the documents show, taken
//! from a running instance with the demo's phone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::ports::Ports;
use serde_json::Value;

use crate::broadcast::{Broadcast, text};
use crate::cli::Screenshots;
use crate::demo::sleep_until;
use crate::instance::Instance;
use crate::packages::{self, Program};
use crate::phone::Carriers;
use crate::stop::Stop;
use crate::up::{self, Profile};
use crate::web;
use crate::workspace::{root, run as succeed};

/// What a picture may weigh: documents are read on phones, too.
const BYTES_MAX: u64 = 200_000;
/// The connections in the pictures: one that streams, one that waits.
const PHONE: &str = "Phone";
const WAITING: &str = "Backpack";
const REGION: &str = "eu-west";
const TICK: Duration = Duration::from_secs(1);

/// Takes them all.
pub(crate) fn run(options: &Screenshots) -> anyhow::Result<()> {
    packages::ensure(&[Program::Postgres, Program::Ffmpeg, Program::Chromium])?;
    web::build()?;
    let binary = up::build(Profile::Debug)?;
    let stop = Stop::on_signals()?;
    let state = tempfile::Builder::new()
        .prefix("streamhaul-screenshots-")
        .tempdir()?;
    let carriers = Carriers::write()?;
    let arguments = arguments(state.path(), &carriers)?;
    let mut instance = Instance::start(&binary, &arguments)?;
    let taken = match instance.wait_ready(stop)? {
        Some(told) => take(&instance, &told, options, stop),
        None => Ok(()),
    };
    let stopped = instance.stop();
    taken?;
    ensure!(stopped?.success(), "the instance did not end well");
    Ok(())
}

fn arguments(state: &Path, carriers: &Carriers) -> anyhow::Result<[OsString; 10]> {
    let base = Ports::free()?.at(0);
    Ok([
        "--state-dir".into(),
        state.into(),
        "--port-base".into(),
        base.to_string().into(),
        "--asn-database".into(),
        carriers.path().into(),
        "--region".into(),
        REGION.into(),
        "--log".into(),
        "warn".into(),
    ])
}

fn take(
    instance: &Instance,
    told: &Value,
    options: &Screenshots,
    stop: Stop,
) -> anyhow::Result<()> {
    let mut broadcast = Broadcast::start(instance, told, PHONE, stop)?;
    instance.ask(&["relay", "start", "--name", WAITING])?;
    eprintln!(
        "streaming for {} s, so that the graphs show something",
        options.seconds
    );
    let started = Instant::now();
    let until = started + Duration::from_secs(options.seconds);
    while Instant::now() < until && !stop.is_wanted() {
        broadcast.check()?;
        broadcast.phone.go_on(started.elapsed());
        sleep_until(Instant::now() + TICK, stop);
    }
    if stop.is_wanted() {
        return Ok(());
    }
    let link = text(&instance.ask(&["dock-url"])?, "/url")?;
    photograph(&link)
}

fn photograph(link: &str) -> anyhow::Result<()> {
    let images = root().join("docs/dock/images");
    let mut node = Command::new("node");
    node.arg("browser/pictures.mjs")
        .arg(PHONE)
        .arg(&images)
        .env("STREAMHAUL_DOCK_LINK", link)
        .current_dir(web::sources());
    succeed(&mut node)?;
    for picture in pictures(&images)? {
        shrink(&picture)?;
        let bytes = picture.metadata()?.len();
        eprintln!("{}: {} kB", picture.display(), bytes.div_ceil(1000));
        ensure!(bytes <= BYTES_MAX, "{} is too large", picture.display());
    }
    Ok(())
}

fn pictures(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let paths: Vec<_> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<_>>()?;
    let is_png = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "png");
    Ok(paths.into_iter().filter(is_png).collect())
}

/// Gives a picture a palette of its own: a page has few colours, and a third of the bytes
/// says them all.
fn shrink(picture: &Path) -> anyhow::Result<()> {
    let small = picture.with_extension("small.png");
    let palette = "split[a][b];[a]palettegen=reserve_transparent=0[p];[b][p]paletteuse=dither=none";
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-loglevel", "error", "-y", "-i"])
        .arg(picture)
        .args(["-vf", palette, "-compression_level", "100"])
        .arg(&small);
    succeed(&mut ffmpeg)?;
    Ok(std::fs::rename(&small, picture)?)
}
