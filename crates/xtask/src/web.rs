//! `cargo xtask web …`: the dock's page. Only this command needs Node: every other
//! build takes the page as it finds it, or does without.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::cli::Web;
use crate::packages::{self, Program};
use crate::workspace::{self, root, run as succeed, target_dir};

/// The oldest Node that the page's tools run on.
const NODE_MIN: (u32, u32) = (20, 19);
/// What the browser tests run.
const PROGRAMS: [&str; 5] = [
    "streamhaul-api",
    "streamhaul-jobs",
    "streamhaul-metrics-gateway",
    "streamhaul-relay-node",
    "streamhaul-measure",
];

/// Builds the page, or builds and tests it.
pub(crate) fn run(what: Web) -> anyhow::Result<()> {
    build()?;
    match what {
        Web::Build => Ok(()),
        Web::Test => test(),
    }
}

/// Builds the page from scratch and says how large it is; the next build of api puts it
/// into the binary.
pub(crate) fn build() -> anyhow::Result<()> {
    install(&sources())?;
    succeed(&mut npm(&["run", "build"]))?;
    eprintln!("the page: {}", size(&page())?);
    Ok(())
}

/// Installs the Node packages that the lock file in `directory` names.
pub(crate) fn install(directory: &Path) -> anyhow::Result<()> {
    check_node()?;
    let mut install = npm(&["ci", "--no-audit", "--no-fund"]);
    succeed(install.current_dir(directory))
}

/// Builds the page unless it is there; without Node the instance does without it.
pub(crate) fn provide() {
    if page().join("index.html").is_file() {
        return;
    }
    if let Err(error) = build() {
        eprintln!("the dock will say how to build it, as it is not in this build: {error:#}");
    }
}

fn page() -> PathBuf {
    sources().join("dist")
}

/// The files of a directory and what they weigh, as they go to the browser.
fn size(directory: &Path) -> anyhow::Result<String> {
    let (mut files, mut bytes) = (0_u32, 0);
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            } else {
                files += 1;
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok(format!("{files} files, {:.0} kB", bytes as f64 / 1000.0))
}

fn test() -> anyhow::Result<()> {
    packages::ensure(&[Program::Postgres, Program::Ffmpeg, Program::Chromium])?;
    succeed(&mut npm(&["run", "lint"]))?;
    succeed(&mut npm(&["run", "test"]))?;
    succeed(&mut workspace::build(&PROGRAMS))?;
    let program = target_dir().join("debug/streamhaul-measure");
    succeed(Command::new(program).arg("dock").arg(sources()))
}

/// Where the page's sources are.
pub(crate) fn sources() -> PathBuf {
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
    fn a_page_is_weighed_with_what_is_below_it() {
        let page = tempfile::tempdir().unwrap();
        std::fs::create_dir(page.path().join("assets")).unwrap();
        std::fs::write(page.path().join("index.html"), [0; 600]).unwrap();
        std::fs::write(page.path().join("assets/a.js"), [0; 1000]).unwrap();
        assert_eq!(size(page.path()).unwrap(), "2 files, 2 kB");
    }

    #[test]
    fn nodes_version_is_read() {
        assert_eq!(version_of("v20.20.2"), Some((20, 20)));
        assert!(version_of("v18.20.4") < Some(NODE_MIN));
        assert_eq!(version_of(""), None);
    }
}
