//! Finding the server's programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::directories::Owner;

/// The oldest major version that is supported.
pub const MAJOR_MIN: u32 = 15;

/// What it takes to run a server.
const SERVER: [&str; 5] = ["initdb", "postgres", "pg_ctl", "pg_isready", "createdb"];
/// What it takes to copy one over its replication protocol.
const COPY: [&str; 2] = ["pg_basebackup", "pg_receivewal"];

/// The directory of PostgreSQL's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Where they are.
    pub bin_dir: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Binaries {
    /// A command for one of the programs, to be run as `owner`.
    pub(super) fn command(&self, program: &str, owner: Owner) -> Command {
        let mut command = Command::new(self.bin_dir.join(program));
        owner.apply(&mut command);
        alone(&mut command);
        command
    }

    /// A command for one of the programs, to be run as ourselves.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(program));
        alone(&mut command);
        command
    }
}

/// Nothing of our surroundings decides which server is meant.
fn alone(command: &mut Command) {
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .env_remove("PGHOST")
        .env_remove("PGPORT");
}

/// The newest supported server; a directory in `PG_BINDIR` wins.
pub(super) fn find() -> Option<Binaries> {
    find_with(
        &SERVER,
        "postgres",
        std::env::var_os("PG_BINDIR").map(PathBuf::from),
    )
}

/// The newest programs that copy a server; `chosen` wins, then a directory in `PG_BINDIR`.
pub(super) fn find_copy(chosen: Option<&Path>) -> Option<Binaries> {
    let chosen = chosen.map(Path::to_owned);
    let chosen = chosen.or_else(|| std::env::var_os("PG_BINDIR").map(PathBuf::from));
    find_with(&COPY, "pg_basebackup", chosen)
}

fn find_with(programs: &[&str], asked: &str, chosen: Option<PathBuf>) -> Option<Binaries> {
    let inspect = |place: &Path| inspect(place, programs, asked);
    if let Some(chosen) = chosen {
        return inspect(&chosen);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(versioned("/usr/lib/postgresql", "bin"));
    places.extend(versioned("/usr", "bin"));
    places.extend([
        PathBuf::from("/usr/local/pgsql/bin"),
        PathBuf::from("/opt/homebrew/bin"),
    ]);
    places
        .iter()
        .filter_map(|place| inspect(place))
        .max_by_key(|found| found.major)
}

/// `/usr/lib/postgresql/17/bin` on Debian, `/usr/pgsql-17/bin` on Fedora.
fn versioned(parent: &str, child: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let versioned = |name: &str| name.parse::<u32>().is_ok() || name.starts_with("pgsql-");
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(versioned))
        .map(|entry| entry.path().join(child))
        .collect()
}

fn inspect(bin_dir: &Path, programs: &[&str], asked: &str) -> Option<Binaries> {
    let complete = programs
        .iter()
        .all(|program| bin_dir.join(program).is_file());
    if !complete {
        return None;
    }
    let output = Command::new(bin_dir.join(asked))
        .arg("--version")
        .output()
        .ok()?;
    let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
    (major >= MAJOR_MIN).then(|| Binaries {
        bin_dir: bin_dir.to_owned(),
        major,
    })
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_of;

    #[test]
    fn versions_are_read_with_and_without_a_packager() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("nonsense"), None);
    }
}
