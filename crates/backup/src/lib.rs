//! Backups of the database: made, kept, restored and proven.
//!
//! A backup is a copy of the whole server (`pg_basebackup`) and the server's log from then on
//! (`pg_receivewal`, behind a replication slot), so any instant since can be brought back. All
//! of it is compressed, hashed and encrypted on its way, in bounded memory, into every
//! destination at once:
//!
//! ```text
//! pg_basebackup ─▶ zstd ─▶ age ─▶ sha256 ─▶ chunks ─┬▶ a directory
//!                                                   └▶ S3
//! <destination>/base/<id>/base.tar.zst.age
//!                         manifest.json       last: with it the backup is there, without it not
//!                         proof.json          when it was restored and found whole
//! <destination>/log/<system identifier>/<segment>.zst.age
//! ```
//!
//! The manifest has what was in each table at one instant, the *mark*, which is also a place in
//! the log ([`storage::backup::Mark`]). Verifying is restoring up to the mark and counting again.
//!
//! Besides, [`Archive`] keeps days of telemetry that have left the database, in the same places and by the same
//! ways.
//!
//! This crate refuses to know who asks and when: the command line and the jobs both call
//! [`Backups`]. To add a kind of destination, give [`DestinationConfig`] a field and
//! [`Destination::open`] the store.

mod archive;
mod base;
mod chunks;
mod config;
mod days;
mod destination;
mod error;
mod log;
mod manifest;
mod program;
mod restore;
mod retention;
mod seal;
mod upload;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

pub use base::Taken;
pub use config::{Config, DestinationConfig, Keep, S3Config};
pub use days::{Archive, ArchiveConfig, Part, Written};
pub use destination::{Destination, Listed};
pub use error::Error;
pub use manifest::{Manifest, Object, Proof};
pub use restore::{Request, Restored, Target};
pub use seal::{Identities, generate_identity};
pub use verify::Verified;

use secrecy::SecretString;

use seal::Seal;

/// Where something long is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of the server have been copied, of about so many.
    Copying {
        /// So far.
        bytes: u64,
        /// About as many as the server's databases have.
        of: u64,
    },
    /// Waiting for an instant at which nothing is being written.
    Marking,
    /// Counting what is in the tables.
    Counting,
    /// So many segments of the log have been stored.
    Log {
        /// So far.
        segments: u64,
    },
    /// So many bytes of a backup have been fetched.
    Fetching {
        /// So far.
        bytes: u64,
        /// All.
        of: u64,
    },
    /// The log is being replayed.
    Replaying,
    /// What came back is compared with what was.
    Comparing,
    /// Old backups are being deleted.
    Pruning,
}

/// Who hears of each [`Step`].
pub type Report = Arc<dyn Fn(Step) + Send + Sync>;

/// Everything that is done with backups, with one configuration.
#[derive(Clone)]
pub struct Backups {
    destinations: Vec<Destination>,
    seal: Seal,
    work_dir: PathBuf,
    bin_dir: Option<PathBuf>,
    slot: String,
    /// Whether the log is stored between backups.
    keeps_log: bool,
    report: Report,
}

impl Backups {
    /// Opens the destinations; nothing is asked of them yet. Long work is told to `report`.
    ///
    /// # Errors
    /// When the configuration is wrong, or a file that it names cannot be read.
    pub fn open(config: &Config, report: Report) -> Result<Self, Error> {
        config.validate().map_err(Error::Config)?;
        let destinations = config.destinations.iter().map(Destination::open);
        Ok(Self {
            destinations: destinations.collect::<Result<_, _>>()?,
            seal: Seal::new(&config.recipients)?,
            work_dir: config.work_dir.clone().unwrap_or_else(std::env::temp_dir),
            bin_dir: config.bin_dir.clone(),
            slot: config.slot.clone(),
            keeps_log: config.log_seconds > 0,
            report,
        })
    }

    /// The server's URL, if the configuration has one of its own.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn database_url(config: &Config) -> Result<Option<SecretString>, Error> {
        let Some(file) = &config.database_url_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file).map_err(|source| Error::local(file, source))?;
        Ok(Some(text.trim().to_owned().into()))
    }

    /// The destinations, in the configuration's order.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// The destination of that name; the first one if there is none.
    ///
    /// # Errors
    /// When no destination has the name.
    pub fn destination(&self, name: Option<&str>) -> Result<&Destination, Error> {
        let found = match name {
            None => self.destinations.first(),
            Some(name) => self.destinations.iter().find(|it| it.name() == name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.destinations.iter().map(Destination::name).collect();
            Error::Config(format!(
                "no destination is called {}; there are: {}",
                name.unwrap_or("anything"),
                names.join(", ")
            ))
        })
    }

    fn report(&self, step: Step) {
        (self.report)(step);
    }

    /// A directory that is removed when it is dropped; PostgreSQL's user may pass through.
    fn work(&self) -> Result<tempfile::TempDir, Error> {
        use std::os::unix::fs::PermissionsExt as _;
        let made = tempfile::Builder::new()
            .prefix("streamhaul-backup-")
            .permissions(std::fs::Permissions::from_mode(0o711))
            .tempdir_in(&self.work_dir);
        made.map_err(|source| Error::local(&self.work_dir, source))
    }
}
