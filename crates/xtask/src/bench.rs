//! `cargo xtask bench …`: figures, measured on release builds.

use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};

/// The services that a measured house runs.
const PACKAGES: [&str; 5] = [
    "streamhaul-api",
    "streamhaul-jobs",
    "streamhaul-metrics-gateway",
    "streamhaul-relay-node",
    "streamhaul-e2e",
];

/// Measures what `arguments` name, such as `delay --seconds 60 --json`.
///
/// # Errors
/// When the build fails or the name is unknown.
pub fn run(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    match arguments.first().map(String::as_str) {
        Some("delay") => measure(arguments),
        _ => bail!("usage: cargo xtask bench delay [--seconds N] [--mbps N] [--json]"),
    }
}

/// Builds everything in release mode and runs `streamhaul-measure`.
pub(crate) fn measure(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    let mut build = cargo("build");
    for package in PACKAGES {
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
