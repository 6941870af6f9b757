//! Why something with backups did not work, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why something with backups did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(String),
    /// The database did not do what it was asked.
    #[error(
        "the database did not do its part (its role needs REPLICATION, and EXECUTE on pg_switch_wal)"
    )]
    Database(#[from] storage::Error),
    /// What was to be archived cannot be read.
    #[error("the database did not give what is to be archived")]
    Rows(#[source] storage::Error),
    /// What was fetched cannot be written.
    #[error("cannot write what was fetched")]
    Output(#[source] io::Error),
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] storage::InvalidUrl),
    /// The server is none that backups can be made of.
    #[error("{0}")]
    Server(String),
    /// Another process is at it.
    #[error("another process is making a backup of this server; try again when it is done")]
    Busy,
    /// One of PostgreSQL's programs failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// The program.
        program: &'static str,
        /// The end of what it said.
        reason: String,
    },
    /// There is no PostgreSQL here, or it did not do its part.
    #[error(transparent)]
    Cluster(#[from] storage::cluster::Error),
    /// A destination did not take or give something.
    #[error("destination {name}: {reason}")]
    Destination {
        /// Its name.
        name: String,
        /// What it, or the system, said.
        reason: String,
    },
    /// There is no room.
    #[error("{place} is full: make room, or keep fewer backups there")]
    Full {
        /// The destination or the directory.
        place: String,
    },
    /// A file here cannot be read or written.
    #[error("{}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Keys that are none, or the wrong ones.
    #[error("{0}")]
    Key(String),
    /// Something in a destination is not what was put there.
    #[error("{object} is damaged: {reason}; restore another backup, or from another destination")]
    Damaged {
        /// Its path.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to restore.
    #[error("{0}")]
    Nothing(String),
    /// The log has a gap.
    #[error(
        "the server no longer has the log that was to be stored: more than max_slot_wal_keep_size piled up; the next backup begins anew"
    )]
    LogLost,
    /// The restored server did not get to where it should.
    #[error("{0}")]
    Recovery(String),
    /// What came back is not what was.
    #[error("the restored data differs from what was backed up: {0}")]
    Different(String),
    /// It was called off.
    #[error("called off")]
    Stopped,
}

impl Error {
    /// Every [`reason`](Self::reason).
    pub const REASONS: [&str; 9] = [
        "config",
        "database",
        "program",
        "destination",
        "full",
        "key",
        "damaged",
        "different",
        "other",
    ];

    /// What kind it is, as a metric's label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Database(_) | Self::Rows(_) | Self::Url(_) | Self::Server(_) | Self::LogLost => {
                "database"
            }
            Self::Program { .. } | Self::Cluster(_) | Self::Recovery(_) => "program",
            Self::Destination { .. } => "destination",
            Self::Full { .. } => "full",
            Self::Key(_) => "key",
            Self::Damaged { .. } => "damaged",
            Self::Different(_) => "different",
            Self::Busy
            | Self::Local { .. }
            | Self::Output(_)
            | Self::Nothing(_)
            | Self::Stopped => "other",
        }
    }

    pub(crate) fn local(path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::Full {
                place: path.display().to_string(),
            };
        }
        Self::Local {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn destination(name: &str, error: &object_store::Error) -> Self {
        if full_inside(error) {
            return Self::Full {
                place: format!("destination {name}"),
            };
        }
        Self::Destination {
            name: name.to_owned(),
            reason: words(error),
        }
    }
}

/// An error and what caused it, each said once.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn full_inside(error: &object_store::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(is_full) {
            return true;
        }
        next = error.source();
    }
    false
}

/// No space, over the quota, or larger than files may be.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
