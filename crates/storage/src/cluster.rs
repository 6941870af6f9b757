//! A private PostgreSQL: found on the system, initialised once, run as a child.
//!
//! It listens on a unix socket only, in a directory closed to others, and trusts
//! whoever can open that socket. As root it runs as an unprivileged user, since
//! PostgreSQL refuses root. It stops when its owner does, however that ends.

mod binaries;
mod directories;
mod process;
mod recovery;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub use binaries::{Binaries, MAJOR_MIN};
use directories::Owner;
use process::Postmaster;
pub use recovery::Recovery;

/// The role that owns the cluster and its database.
const ROLE: &str = "streamhaul";
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// One that was restored has much to write at its end.
const RECOVERED_STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// What a 1 GB machine can spare: about 45 MiB idle.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "max_connections=60",
    "shared_buffers=48MB",
    "work_mem=2MB",
    "maintenance_work_mem=32MB",
    "wal_buffers=1MB",
    "max_wal_size=256MB",
    "autovacuum_max_workers=2",
    "max_parallel_workers=0",
    "max_parallel_workers_per_gather=0",
    "jit=off",
    "unix_socket_permissions=0700",
    // What backups have not taken away by then is lost to them, rather than fill the disk.
    "max_slot_wal_keep_size=2GB",
    "log_min_messages=warning",
];

/// Why there is no private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server binaries of a supported version.
    #[error(
        "PostgreSQL {MAJOR_MIN} or newer is not installed; on Debian or Ubuntu: apt-get install postgresql"
    )]
    Missing,
    /// No programs that copy a server, of a supported version.
    #[error(
        "pg_basebackup and pg_receivewal {MAJOR_MIN} or newer are not there; on Debian or Ubuntu: apt-get install postgresql-client"
    )]
    MissingClient,
    /// As root there must be somebody else to run it as.
    #[error("PostgreSQL refuses root, and there is neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A directory is not usable.
    #[error("{path}: {reason}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One of its programs could not be run or failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: &'static str,
        /// The system's word, or the end of what it printed.
        reason: String,
    },
    /// The server ended or did not answer in time.
    #[error("PostgreSQL did not start: {0}")]
    NotStarted(String),
}

/// Where a private cluster lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster's files.
    pub data_dir: PathBuf,
    /// The socket's directory; short, since socket paths end at 107 bytes.
    pub socket_dir: PathBuf,
    /// The database to have.
    pub database: String,
}

impl ClusterConfig {
    /// A cluster under `state_dir`, or in a place of its own where the user that
    /// runs it cannot reach `state_dir`.
    #[must_use]
    pub fn in_state_dir(state_dir: &Path) -> Self {
        Self {
            data_dir: directories::data_dir(state_dir),
            socket_dir: directories::socket_dir(state_dir),
            database: ROLE.to_owned(),
        }
    }
}

/// A running private PostgreSQL. Dropping it stops the server without waiting.
#[derive(Debug)]
pub struct Cluster {
    config: ClusterConfig,
    binaries: Binaries,
    owner: Owner,
    postmaster: Postmaster,
    stop_timeout: Duration,
}

impl Cluster {
    /// Looks for the server's programs: `PG_BINDIR`, `PATH`, then the places
    /// distributions use.
    ///
    /// # Errors
    /// When there are none of a supported version.
    pub fn find_binaries() -> Result<Binaries, Error> {
        binaries::find().ok_or(Error::Missing)
    }

    /// Looks for the programs that copy a server: in `chosen` if given, else where the server's
    /// are looked for.
    ///
    /// # Errors
    /// When there are none of a supported version.
    pub fn find_copy_programs(chosen: Option<&Path>) -> Result<Binaries, Error> {
        binaries::find_copy(chosen).ok_or(Error::MissingClient)
    }

    /// Starts the cluster, made first if it is not there yet, and waits until its
    /// database answers. A server left behind on the same files is stopped first.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn start(config: &ClusterConfig, binaries: &Binaries) -> Result<Self, Error> {
        let owner = Owner::find()?;
        directories::prepare(&config.data_dir, owner)?;
        directories::prepare(&config.socket_dir, owner)?;
        if !config.data_dir.join("PG_VERSION").exists() {
            initialise(config, binaries, owner)?;
        }
        process::stop_left_behind(config, binaries, owner);
        let postmaster = start_postmaster(config, binaries, owner)?;
        let mut cluster = Self {
            config: config.clone(),
            binaries: binaries.clone(),
            owner,
            postmaster,
            stop_timeout: STOP_TIMEOUT,
        };
        cluster.wait_until_ready()?;
        cluster.create_database()?;
        Ok(cluster)
    }

    /// The database's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(&self.config.database)
    }

    /// The URL of another database of the cluster.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        self.url_as(ROLE, database)
    }

    /// The URL of a database of the cluster for one of its roles.
    #[must_use]
    pub fn url_as(&self, role: &str, database: &str) -> String {
        let socket_dir = percent_encode(&self.config.socket_dir.to_string_lossy());
        let (role, database) = (percent_encode(role), percent_encode(database));
        format!("postgres://{role}@localhost/{database}?host={socket_dir}")
    }

    /// Whether the server ended by itself.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.postmaster.has_ended()
    }

    /// Starts the server again after it died, without waiting until it answers:
    /// whoever uses it comes back by itself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> Result<(), Error> {
        process::stop_left_behind(&self.config, &self.binaries, self.owner);
        self.postmaster = start_postmaster(&self.config, &self.binaries, self.owner)?;
        Ok(())
    }

    /// Stops the server: open transactions are rolled back, everything is on disk.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.postmaster.stop(self.stop_timeout)
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let mut ask = self.program("pg_isready");
            ask.args(["--quiet", "--dbname", "postgres"]);
            if ask.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if self.has_died() || Instant::now() > deadline {
                return Err(Error::NotStarted(process::log_tail(&self.config)));
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    fn create_database(&self) -> Result<(), Error> {
        let mut create = self.program("createdb");
        create.args(["--encoding", "UTF8", &self.config.database]);
        match process::run("createdb", &mut create) {
            Err(Error::Program { reason, .. }) if reason.contains("already exists") => Ok(()),
            other => other,
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = self.binaries.command(name, self.owner);
        command
            .arg("--host")
            .arg(&self.config.socket_dir)
            .args(["--username", ROLE]);
        command
    }
}

fn initialise(config: &ClusterConfig, binaries: &Binaries, owner: Owner) -> Result<(), Error> {
    tracing::info!(directory = %config.data_dir.display(), "making a private PostgreSQL cluster");
    let mut command = binaries.command("initdb", owner);
    command.arg("--pgdata").arg(&config.data_dir);
    command.args([
        "--username",
        ROLE,
        "--auth-local=trust",
        "--auth-host=reject",
    ]);
    command.args(["--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"]);
    process::run("initdb", &mut command)
}

fn start_postmaster(
    config: &ClusterConfig,
    binaries: &Binaries,
    owner: Owner,
) -> Result<Postmaster, Error> {
    Postmaster::spawn(server(config, binaries, owner), config)
}

fn server(config: &ClusterConfig, binaries: &Binaries, owner: Owner) -> Command {
    let mut command = binaries.command("postgres", owner);
    command
        .arg("-D")
        .arg(&config.data_dir)
        .arg("-k")
        .arg(&config.socket_dir);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}

fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_starts_stops_and_starts_again_with_its_data() {
        let state = tempfile::Builder::new()
            .prefix("sh-cluster")
            .tempdir_in("/tmp")
            .unwrap();
        // The user that runs PostgreSQL must be able to pass through.
        std::fs::set_permissions(
            state.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let config = ClusterConfig::in_state_dir(state.path());
        let binaries = Cluster::find_binaries().unwrap();
        let cluster = Cluster::start(&config, &binaries).unwrap();
        assert!(cluster.url().contains("host="));
        cluster.stop().unwrap();
        let mut again = Cluster::start(&config, &binaries).unwrap();
        assert!(!again.has_died());
        again.postmaster.kill_for_test();
        while !again.has_died() {
            std::thread::sleep(Duration::from_millis(10));
        }
        again.restart().unwrap();
        again.wait_until_ready().unwrap();
        again.stop().unwrap();
    }

    #[test]
    fn urls_survive_odd_directories() {
        assert_eq!(percent_encode("/tmp/a b"), "/tmp/a%20b");
    }
}
