//! Where an instance keeps its state.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made or entered.
    #[error("cannot use the state directory {}: {source}; give another with --state-dir", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another instance runs on it.
    #[error("another instance already runs on {}; `streamhaul status` shows it, --state-dir and --port-base make room for a second", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Neither a home nor a state directory is known.
    #[error("neither XDG_STATE_HOME nor HOME is set: give --state-dir")]
    Unknown,
}

/// An instance's directory.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while an instance runs on a directory; the system lets go of it when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<std::fs::File>,
}

impl StateDir {
    /// The given directory, else the default one: `$XDG_STATE_HOME/streamhaul`,
    /// root's in `/var/lib` because PostgreSQL's user must be able to enter it.
    ///
    /// # Errors
    /// When there is no default.
    pub fn choose(given: Option<&Path>) -> Result<Self, Error> {
        let path = match given {
            Some(path) => std::path::absolute(path).map_err(|source| unusable(path, source))?,
            None => default_path().ok_or(Error::Unknown)?,
        };
        Ok(Self { path })
    }

    /// Makes the directory, for its user only. Others may pass through root's:
    /// PostgreSQL, which runs as another user then, has its files inside.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(&self) -> Result<(), Error> {
        let mode = if Uid::effective().is_root() {
            0o711
        } else {
            0o700
        };
        make(&self.path, mode)?;
        make(&self.secrets(), 0o700)?;
        make(&self.relay_node(), 0o700)
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// When another instance has it.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.path.join("lock");
        let file = std::fs::File::create(&path).map_err(|source| unusable(&path, source))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Lock { _file: file }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(Error::InUse {
                path: self.path.clone(),
            }),
            Err((_, errno)) => Err(unusable(&path, errno.into())),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where keys and tokens are.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// Where letters are, until a mail server is set up.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        self.path.join("mail")
    }

    /// Where backups go unless somebody says otherwise.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.path.join("backups")
    }

    /// Where somebody may say otherwise.
    #[must_use]
    pub fn backups_file(&self) -> PathBuf {
        self.path.join("backups.toml")
    }

    /// Where somebody may say how long telemetry is kept.
    #[must_use]
    pub fn telemetry_file(&self) -> PathBuf {
        self.path.join("telemetry.toml")
    }

    /// Where the relay node keeps who it is.
    #[must_use]
    pub fn relay_node(&self) -> PathBuf {
        self.path.join("relay-node")
    }

    /// What a running instance tells about itself.
    #[must_use]
    pub fn run_file(&self) -> PathBuf {
        self.path.join("run.json")
    }
}

fn default_path() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(state) = absolute("XDG_STATE_HOME") {
        return Some(state.join("streamhaul"));
    }
    if Uid::effective().is_root() {
        return Some("/var/lib/streamhaul".into());
    }
    absolute("HOME").map(|home| home.join(".local/state/streamhaul"))
}

fn make(path: &Path, mode: u32) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| unusable(path, source))
}

fn unusable(path: &Path, source: io::Error) -> Error {
    Error::Unusable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_instance() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::choose(Some(&parent.path().join("a/b"))).unwrap();
        state.create().unwrap();
        let first = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(Error::InUse { .. })));
        drop(first);
        assert!(state.lock().is_ok());
    }
}
