//! `cargo xtask qa`: goes through the checklist of a release.

use std::process::{Command, ExitStatus};

use anyhow::Context;

use crate::dashboards;
use crate::packages::{self, Program};
use crate::rules;
use crate::web;
use crate::workspace::{self, root, run as succeed, target_dir};

const PROGRAMS: [&str; 2] = ["streamhaul", "streamhaul-qa"];
/// Builds for debugging, which takes less time.
const DEBUG: &str = "--debug";

/// Builds what is looked at and what looks, and runs it with `arguments`, such as
/// `--case TC-RELAY-002 --json`.
///
/// # Errors
/// When a program is missing or a build fails.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitStatus> {
    let (debug, arguments): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| *argument == DEBUG);
    let release = debug.is_empty();
    packages::ensure(&[
        Program::Postgres,
        Program::Ffmpeg,
        Program::Chromium,
        Program::Promtool,
    ])?;
    rules::check()?;
    dashboards::check()?;
    web::build()?;
    web::install(&root().join("tests/qa/browser"))?;
    build(release)?;
    let folder = if release { "release" } else { "debug" };
    Command::new(target_dir().join(folder).join("streamhaul-qa"))
        .args(arguments)
        .status()
        .context("run streamhaul-qa")
}

fn build(release: bool) -> anyhow::Result<()> {
    let mut build = workspace::build(&PROGRAMS);
    if release {
        build.arg("--release");
    }
    succeed(&mut build)
}
