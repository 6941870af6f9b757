//! `streamhaul archives`.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};
use jiff::civil::Date;
use storage::telemetry::retired::Kind;

/// Days of telemetry that have left the database.
#[derive(Debug, Subcommand)]
pub enum Archives {
    /// Lists what is in the archive, the oldest day first.
    List {
        /// What
        #[arg(long, default_value = "events")]
        kind: KindWord,
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
        kind: KindWord,
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

/// What an archive has days of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindWord(pub Kind);

impl ValueEnum for KindWord {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [KindWord; 3] = [
            KindWord(Kind::Events),
            KindWord(Kind::SessionTenSeconds),
            KindWord(Kind::SessionMinutes),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            Kind::Events => "Events of apps",
            Kind::SessionTenSeconds => "Sessions in steps of ten seconds",
            Kind::SessionMinutes => "Sessions in steps of a minute",
        };
        Some(PossibleValue::new(self.0.as_str()).help(help))
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
