//! `streamhaul archives`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;

/// Days of telemetry that have left the database.
#[derive(Debug, Subcommand)]
pub enum Archives {
    /// Lists what is in the archive, the oldest day first.
    List {
        /// What
        #[arg(long, default_value = "events")]
        kind: ArchiveKind,
        /// Only this day (UTC) and later ones, such as 2026-11-01
        #[arg(long, value_name = "DAY")]
        from: Option<Date>,
        /// Only this day and earlier ones
        #[arg(long, value_name = "DAY")]
        to: Option<Date>,
        /// Which archive.
        #[command(flatten)]
        target: ArchivesTarget,
    },
    /// Fetches a day as NDJSON, and compares it with what was stored.
    ///
    /// The file is there only if all of the day is whole.
    Fetch {
        /// The day (UTC), such as 2026-11-01
        #[arg(value_name = "DAY")]
        day: Date,
        /// What
        #[arg(long, default_value = "events")]
        kind: ArchiveKind,
        /// A file to be made
        #[arg(long, value_name = "FILE")]
        into: PathBuf,
        /// A file with the age identity that reads it [default: `identity_file` of the settings]
        #[arg(long, value_name = "FILE", env = "STREAMHAUL_ARCHIVE_IDENTITY")]
        identity: Option<PathBuf>,
        /// Which archive.
        #[command(flatten)]
        target: ArchivesTarget,
    },
}

/// What an archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchiveKind {
    /// Events of apps
    Events,
    /// Sessions in steps of ten seconds
    #[value(name = "session_10s")]
    SessionTenSeconds,
    /// Sessions in steps of a minute
    #[value(name = "session_1m")]
    SessionMinutes,
}

impl ArchiveKind {
    /// Its name there.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::SessionTenSeconds => "session_10s",
            Self::SessionMinutes => "session_1m",
        }
    }
}

/// Which archive: that of the state directory unless told otherwise.
#[derive(Debug, Clone, Args)]
pub struct ArchivesTarget {
    /// The state directory of an instance
    #[arg(long, value_name = "DIR", env = "STREAMHAUL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// A TOML file that says how long telemetry is kept, and where it goes then [default:
    /// telemetry.toml in the state directory]
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_TELEMETRY_FILE")]
    pub telemetry_file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}
