//! `cargo xtask web …`: the dock's page. Only this command needs Node: every other
//! build takes the page as it finds it, or does without.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::cli::Web;
use crate::packages::{self, Program};
use crate::workspace::{cargo, root, run as succeed, target_dir};

/// The oldest Node that the page's tools run on.
const NODE_MIN: (u32, u32) = (20, 19);
/// What the browser tests run.
const BINARIES: [&str; 5] = [
    "streamhaul-api",
    "streamhaul-jobs",
    "streamhaul-metrics-gateway",
    "streamhaul-relay-node",
    "streamhaul-e2e",
];

/// Builds the page, or builds and tests it.
pub(crate) fn run(what: Web) -> anyhow::Result<()> {
    build()?;
    match what {
        Web::Build => Ok(()),
        Web::Test => test(),
    }
}

/// Builds the page; the next build of api puts it into the binary.
pub(crate) fn build() -> anyhow::Result<()> {
    install(&sources())?;
    succeed(&mut npm(&["run", "build"]))
}

/// Installs the Node packages that the lock file in `directory` names.
pub(crate) fn install(directory: &Path) -> anyhow::Result<()> {
    check_node()?;
    let mut install = npm(&["ci", "--no-audit", "--no-fund"]);
    succeed(install.current_dir(directory))
}

fn test() -> anyhow::Result<()> {
    packages::ensure(&[Program::Postgres, Program::Ffmpeg, Program::Chromium])?;
    succeed(&mut npm(&["run", "lint"]))?;
    succeed(&mut npm(&["run", "test"]))?;
    let mut build = cargo(&["build", "--bins"]);
    for package in BINARIES {
        build.args(["--package", package]);
    }
    succeed(&mut build)?;
    let program = target_dir().join("debug/streamhaul-measure");
    succeed(Command::new(program).arg("dock").arg(sources()))
}

fn sources() -> PathBuf {
    root().join("crates/api/web")
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(sources());
    // What is printed to standard output is a report.
    command.stdout(std::io::stderr());
    command
}

/// Distributions are often behind, so none is installed.
fn check_node() -> anyhow::Result<()> {
    let output = Command::new("node").arg("--version").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let found = said.as_deref().ok().and_then(version_of);
    let (major, minor) = NODE_MIN;
    if found.is_none_or(|version| version < NODE_MIN) {
        let found = said.unwrap_or_else(|_| "none".to_owned());
        bail!(
            "the dock's page needs Node {major}.{minor} or newer, found {found}; see https://nodejs.org"
        );
    }
    Ok(())
}

/// The major and the minor version in `v20.20.2`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_version_is_read() {
        assert_eq!(version_of("v20.20.2"), Some((20, 20)));
        assert!(version_of("v18.20.4") < Some(NODE_MIN));
        assert_eq!(version_of(""), None);
    }
}
