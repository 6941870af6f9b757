//! `cargo xtask interop`: every common program through a relay node.

use std::process::{Command, ExitStatus};

use anyhow::Context;

use crate::packages::{self, Program};
use crate::workspace::{build, cargo, root, run as succeed, target_dir};

const PROGRAMS: [&str; 2] = ["streamhaul-relay-node", "streamhaul-interop"];

/// What the published SDK of telemetry-kit syncs to.
const INTAKE: [&str; 2] = ["streamhaul-metrics-gateway", "streamhaul-measure"];

/// What runs behind a proxy before the database.
const JOBS: [&str; 3] = ["streamhaul-api", "streamhaul-jobs", "streamhaul-interop"];

/// Builds the node and runs the matrix with `arguments`, such as `aes256 --json`; or what else
/// they ask for. What forwards is optimised in every build; one for tests serves.
///
/// # Errors
/// When a program is missing or the build fails.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    if arguments.iter().any(|it| it == "--telemetry-sdk") {
        return telemetry_sdk();
    }
    if arguments.iter().any(|it| it.starts_with("--pgbouncer")) {
        succeed(build(&JOBS).arg("--quiet"))?;
    } else {
        packages::ensure(&[Program::Ffmpeg, Program::SrtLiveTransmit])?;
        succeed(build(&PROGRAMS).arg("--quiet"))?;
    }
    Command::new(target_dir().join("debug/streamhaul-interop"))
        .args(arguments)
        .status()
        .context("run streamhaul-interop")
}

/// Builds the published SDK, which wants OpenSSL's headers, outside the workspace, and lets it
/// sync.
fn telemetry_sdk() -> anyhow::Result<ExitStatus> {
    packages::ensure(&[Program::Postgres, Program::PkgConfig, Program::OpenSsl])?;
    succeed(build(&INTAKE).arg("--quiet"))?;
    let into = target_dir().join("telemetry-sdk");
    let mut sdk = cargo(&["build", "--quiet", "--locked"]);
    sdk.current_dir(root().join("tests/telemetry-sdk"))
        .arg("--target-dir")
        .arg(&into);
    succeed(&mut sdk)?;
    Command::new(target_dir().join("debug/streamhaul-measure"))
        .arg("telemetry-sdk")
        .arg(into.join("debug/streamhaul-telemetry-sdk"))
        .status()
        .context("run streamhaul-measure")
}
