//! `cargo xtask bench …`: figures, measured on release builds.

use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};

/// The services that a measured house runs, and the program that measures.
const HOUSE: [&str; 5] = [
    "streamhaul-api",
    "streamhaul-jobs",
    "streamhaul-metrics-gateway",
    "streamhaul-relay-node",
    "streamhaul-e2e",
];

/// What a relay is measured with: no database and no control plane of ours.
const RELAY: [&str; 2] = ["streamhaul-relay-node", "streamhaul-e2e"];

const USAGE: &str = "usage: cargo xtask bench delay [--seconds N] [--mbps N] [--json]
       cargo xtask bench relay [--seconds N] [--profile NAME]... [--node-arg NAME=VALUE]...
           [--peer COMMAND --peer-publish URL --peer-play URL] [--json]";

/// Measures what `arguments` name, such as `delay --seconds 60 --json`.
///
/// # Errors
/// When the build fails or the name is unknown.
pub fn run(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    match arguments.first().map(String::as_str) {
        Some("delay") => measure(arguments),
        Some("relay") => measure_relay(arguments),
        _ => bail!("{USAGE}"),
    }
}

/// Builds everything in release mode and runs `streamhaul-measure`.
pub(crate) fn measure(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    measure_with(&HOUSE, arguments)
}

/// The same without the services that a relay node can do without.
pub(crate) fn measure_relay(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    measure_with(&RELAY, arguments)
}

fn measure_with(packages: &[&str], arguments: &[String]) -> anyhow::Result<ExitStatus> {
    let mut build = cargo("build");
    for package in packages {
        build.args(["--package", package]);
    }
    let built = build.arg("--bins").status().context("run cargo")?;
    if !built.success() {
        bail!("the build failed");
    }
    let mut run = cargo("run");
    run.args([
        "--package",
        "streamhaul-e2e",
        "--bin",
        "streamhaul-measure",
        "--",
    ]);
    run.args(arguments)
        .status()
        .context("run streamhaul-measure")
}

fn cargo(verb: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([verb, "--release", "--quiet"]);
    command
}
