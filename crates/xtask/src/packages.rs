//! Programs that are not ours: finding them, and installing what is missing.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::unistd::Uid;

use crate::workspace::{has_program, run};

/// The oldest PostgreSQL that is supported.
const POSTGRES_MAJOR_MIN: u32 = 15;
const CREATE_CLUSTER_CONFIG: &str = "/etc/postgresql-common/createcluster.conf";

/// A program that somebody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The server of a supported version.
    Postgres,
    /// Publishes and plays.
    Ffmpeg,
    /// The other SRT program.
    SrtLiveTransmit,
    /// Shows the dock to its tests.
    Chromium,
    /// Checks rules for Prometheus.
    Promtool,
    /// A log between gateways.
    NatsServer,
    /// Finds libraries of C to build with.
    PkgConfig,
    /// The library with its headers.
    OpenSsl,
}

impl Program {
    const fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Ffmpeg => "ffmpeg",
            Self::SrtLiveTransmit => "srt-tools",
            Self::Chromium => "chromium",
            Self::Promtool => "prometheus",
            Self::NatsServer => "nats-server",
            Self::PkgConfig => "pkg-config",
            Self::OpenSsl => "libssl-dev",
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Postgres => has_postgres(),
            Self::Ffmpeg => has_program("ffmpeg"),
            Self::SrtLiveTransmit => has_program("srt-live-transmit"),
            Self::Chromium => has_program("chromium"),
            Self::Promtool => has_program("promtool"),
            Self::NatsServer => has_program("nats-server"),
            Self::PkgConfig => has_program("pkg-config"),
            Self::OpenSsl => has_library("openssl"),
        }
    }
}

/// Installs what is missing where that is possible.
///
/// # Errors
/// When something is missing and cannot be installed; with the line that does.
pub(crate) fn ensure(programs: &[Program]) -> anyhow::Result<()> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --yes {}", missing.join(" "));
    if !Uid::effective().is_root() || !has_program("apt-get") {
        bail!(
            "missing: {}. On Debian or Ubuntu run: sudo {line}",
            missing.join(", ")
        );
    }
    eprintln!("installing {}", missing.join(", "));
    install(&missing).with_context(|| format!("could not install; try: {line}"))?;
    let missing = self::missing(programs);
    if !missing.is_empty() {
        bail!(
            "still missing after the installation: {}",
            missing.join(", ")
        );
    }
    Ok(())
}

fn missing(programs: &[Program]) -> Vec<&'static str> {
    let missing = programs.iter().filter(|program| !program.is_there());
    missing.map(|program| program.package()).collect()
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    run(apt_get().arg("update"))?;
    if packages.contains(&Program::Postgres.package()) {
        // The distribution's package would make and start a cluster of its own.
        run(apt_get().args(["install", "--no-install-recommends", "postgresql-common"]))?;
        forbid_main_cluster()?;
    }
    let mut command = apt_get();
    run(command
        .args(["install", "--no-install-recommends"])
        .args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["--yes", "--quiet", "-o", "Dpkg::Options::=--force-confold"]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn forbid_main_cluster() -> anyhow::Result<()> {
    let path = Path::new(CREATE_CLUSTER_CONFIG);
    let describe = || path.display().to_string();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let says = |line: &str| line.trim_start().starts_with("create_main_cluster");
    if text.lines().any(says) {
        return Ok(());
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(describe)?;
    file.write_all(b"\n# Streamhaul runs a cluster of its own.\ncreate_main_cluster = false\n")
        .with_context(describe)
}

fn has_library(name: &str) -> bool {
    let asked = Command::new("pkg-config").args(["--exists", name]).status();
    asked.is_ok_and(|status| status.success())
}

/// The same places in which the product looks.
fn has_postgres() -> bool {
    if let Some(chosen) = std::env::var_os("PG_BINDIR") {
        return is_supported(Path::new(&chosen));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(versions.map(|version| version.path().join("bin")));
    places.iter().any(|place| is_supported(place))
}

fn is_supported(bin_dir: &Path) -> bool {
    let complete = ["initdb", "postgres", "pg_isready", "createdb"]
        .iter()
        .all(|program| bin_dir.join(program).is_file());
    let version = || {
        let output = Command::new(bin_dir.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        major_of(&String::from_utf8_lossy(&output.stdout))
    };
    complete && version().is_some_and(|major| major >= POSTGRES_MAJOR_MIN)
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)";
        assert_eq!(major_of(debian), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of(""), None);
    }
}
