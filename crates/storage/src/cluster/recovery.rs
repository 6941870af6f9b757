//! Bringing a cluster that was restored from a backup to the instant that is wanted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directories::{self, Owner};
use super::process::{self, Postmaster};
use super::{Binaries, Cluster, ClusterConfig, Error, RECOVERED_STOP_TIMEOUT, ROLE, server};

const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Its end says that recovery is over.
const SIGNAL: &str = "recovery.signal";
/// Ours, for as long as recovery takes: those of the server that was copied may name what is
/// not there, and may not even be in its directory.
const FILES: [(&str, &str, &str); 3] = [
    ("config_file", "streamhaul_recovery.conf", ""),
    ("hba_file", "streamhaul_hba.conf", "local all all trust\n"),
    ("ident_file", "streamhaul_ident.conf", ""),
];

/// Whatever the copied server's own settings were. The log lies in `pg_wal` already.
const SETTINGS: [&str; 8] = [
    "restore_command=false",
    "recovery_target_action=promote",
    "hot_standby=off",
    "archive_mode=off",
    "autovacuum=off",
    "ssl=off",
    "shared_preload_libraries=",
    "primary_conninfo=",
];

/// A directory that a backup is restored into.
#[derive(Debug)]
pub struct Recovery {
    dir: PathBuf,
    socket_dir: PathBuf,
    owner: Owner,
}

impl Recovery {
    /// Makes `dir`, empty, for the user that runs PostgreSQL. Its server's socket will be in
    /// `socket_dir`, which is made as well.
    ///
    /// # Errors
    /// When there is something in it, or that user cannot get there.
    pub fn prepare(dir: &Path, socket_dir: &Path) -> Result<Self, Error> {
        let owner = Owner::find()?;
        let refused = |reason: &str| Error::Directory {
            path: dir.to_owned(),
            reason: reason.to_owned(),
        };
        let parent = dir.parent().ok_or_else(|| refused("has no parent"))?;
        if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(refused("is not empty; name a new directory"));
        }
        std::fs::create_dir_all(parent).map_err(|error| refused(&error.to_string()))?;
        if !owner.reaches(parent) {
            return Err(refused(
                "PostgreSQL, which refuses root, cannot get there as another user; name a directory whose parents all may pass through",
            ));
        }
        directories::prepare(dir, owner)?;
        directories::prepare(socket_dir, owner)?;
        Ok(Self {
            dir: dir.to_owned(),
            socket_dir: socket_dir.to_owned(),
            owner,
        })
    }

    /// Starts a server on what was put into the directory and waits until its log is replayed
    /// up to what `settings` say, such as `recovery_target_time=…`; for as long as
    /// `goes_on` says so.
    ///
    /// # Errors
    /// When it ends before; with the end of what it said.
    pub fn run(
        &self,
        binaries: &Binaries,
        settings: &[String],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Cluster, Error> {
        let config = ClusterConfig {
            data_dir: self.dir.clone(),
            socket_dir: self.socket_dir.clone(),
            database: ROLE.to_owned(),
        };
        self.write_files()?;
        let mut command = server(&config, binaries, self.owner);
        let own = FILES.map(|(name, file, _)| format!("{name}={}", self.dir.join(file).display()));
        let fixed = SETTINGS.map(str::to_owned);
        for setting in own.iter().chain(&fixed).chain(settings) {
            command.args(["-c", setting]);
        }
        let mut cluster = Cluster {
            postmaster: Postmaster::spawn(command, &config)?,
            config,
            binaries: binaries.clone(),
            owner: self.owner,
            stop_timeout: RECOVERED_STOP_TIMEOUT,
        };
        self.wait(&cluster, goes_on)?;
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Removes what was only for the recovery; the server must have stopped.
    ///
    /// # Errors
    /// Those of the system.
    pub fn finish(&self) -> std::io::Result<()> {
        FILES
            .iter()
            .try_for_each(|(_, file, _)| std::fs::remove_file(self.dir.join(file)))
    }

    fn write_files(&self) -> Result<(), Error> {
        let write = || -> std::io::Result<()> {
            for (_, file, text) in FILES {
                std::fs::write(self.dir.join(file), text)?;
            }
            std::fs::write(self.dir.join(SIGNAL), "")?;
            self.owner.gives_all_away(&self.dir)
        };
        write().map_err(|error| Error::Directory {
            path: self.dir.clone(),
            reason: error.to_string(),
        })
    }

    fn wait(&self, cluster: &Cluster, goes_on: &dyn Fn() -> bool) -> Result<(), Error> {
        while self.dir.join(SIGNAL).exists() {
            if cluster.has_died() {
                return Err(Error::NotStarted(process::log_tail(&cluster.config)));
            }
            if !goes_on() {
                return Err(Error::NotStarted("it was called off".to_owned()));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }
}
