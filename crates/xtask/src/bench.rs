//! `cargo xtask bench …`: figures, measured on release builds.

use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};

use crate::workspace::{build, run as succeed, target_dir};

/// The services that a measured house runs, and the program that measures.
const HOUSE: [&str; 5] = [
    "streamhaul-api",
    "streamhaul-jobs",
    "streamhaul-metrics-gateway",
    "streamhaul-relay-node",
    "streamhaul-measure",
];

/// What a relay is measured with: no database and no control plane of ours.
const RELAY: [&str; 2] = ["streamhaul-relay-node", "streamhaul-measure"];

/// What the intake of events is measured with.
const INGEST: [&str; 2] = ["streamhaul-metrics-gateway", "streamhaul-measure"];

/// What the control plane is measured with: the nodes are simulated.
const CONTROL: [&str; 2] = ["streamhaul-api", "streamhaul-measure"];

const USAGE: &str = "usage: cargo xtask bench delay [--seconds N] [--mbps N] [--json]
       cargo xtask bench relay [--seconds N] [--profile NAME]... [--node-arg NAME=VALUE]...
           [--peer COMMAND --peer-publish URL --peer-play URL [--peer-srtla URL]] [--json]
       cargo xtask bench control [--nodes N] [--seconds N] [--start-nodes N] [--start-seconds N]
           [--callers N] [--json]
       cargo xtask bench jobs [--jobs N] [--turns N] [--singles N] [--held-seconds N]
           [--held-rate N] [--peer-river PATH] [--json]
       cargo xtask bench ingest [--seconds N] [--turns N] [--connections N] [--batch N]
           [--peer-url URL --peer-org ID --peer-app ID --peer-secret TEXT [--peer-token TEXT]
            [--peer-connections N] [--peer COMMAND]] [--json]";

/// Measures what `arguments` name, such as `delay --seconds 60 --json`.
///
/// # Errors
/// When the build fails or the name is unknown.
pub fn run(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    match arguments.first().map(String::as_str) {
        Some("delay") => measure(arguments),
        Some("relay") => measure_relay(arguments),
        Some("control") => measure_with(&CONTROL, arguments),
        Some("jobs") => measure_alone(arguments),
        Some("ingest") => measure_ingest(arguments),
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

/// The same with the gateway only.
pub(crate) fn measure_ingest(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    measure_with(&INGEST, arguments)
}

/// The same with no service: what is measured runs in the program itself.
pub(crate) fn measure_alone(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    measure_with(&["streamhaul-measure"], arguments)
}

fn measure_with(programs: &[&str], arguments: &[String]) -> anyhow::Result<ExitStatus> {
    succeed(build(programs).args(["--release", "--quiet"]))?;
    Command::new(target_dir().join("release/streamhaul-measure"))
        .args(arguments)
        .status()
        .context("run streamhaul-measure")
}
