//! Finding the server's programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::directories::Owner;

/// The oldest major version that is supported.
pub const MAJOR_MIN: u32 = 15;

/// The directory of a PostgreSQL server's programs.
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
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env_remove("PGHOST")
            .env_remove("PGPORT");
        command
    }
}

/// The newest supported binaries; a directory in `PG_BINDIR` wins.
pub(super) fn find() -> Option<Binaries> {
    if let Some(chosen) = std::env::var_os("PG_BINDIR") {
        return inspect(Path::new(&chosen));
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

fn inspect(bin_dir: &Path) -> Option<Binaries> {
    let complete = ["initdb", "postgres", "pg_ctl", "pg_isready", "createdb"]
        .iter()
        .all(|program| bin_dir.join(program).is_file());
    if !complete {
        return None;
    }
    let output = Command::new(bin_dir.join("postgres"))
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
