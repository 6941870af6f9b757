//! `streamhaul backup`, `restore`, `verify-backup`, `backups`.

use std::path::PathBuf;

use backup::Target;
use clap::{Args, Subcommand};
use jiff::Timestamp;

/// Makes a backup.
#[derive(Debug, Args)]
pub struct Backup {
    /// The database [default: that of the running instance]
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMHAUL_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// Which backups.
    #[command(flatten)]
    pub target: BackupsTarget,
}

/// Restores a backup.
#[derive(Debug, Args)]
pub struct Restore {
    /// A directory to be made
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// Which instant: `latest` is all that is stored, or a time such as 2026-11-22T05:00:00Z
    /// [default: that at which the backup was made, which is compared with what it had]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub to: Option<Moment>,
    /// Which backup.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Which backups.
    #[command(flatten)]
    pub target: BackupsTarget,
}

/// Verifies a backup.
#[derive(Debug, Args)]
pub struct VerifyBackup {
    /// The database that remembers it [default: that of the running instance, if one runs]
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMHAUL_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// Which backup.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Which backups.
    #[command(flatten)]
    pub target: BackupsTarget,
}

/// The backups that there are.
#[derive(Debug, Subcommand)]
pub enum Backups {
    /// Lists them, the newest first.
    List {
        /// Only those of this destination
        #[arg(long, value_name = "DESTINATION")]
        from: Option<String>,
        /// Which backups.
        #[command(flatten)]
        target: BackupsTarget,
    },
    /// Makes a key for backups: prints a file that reads them, with the public key for
    /// `recipients` in its first line. Keep it away from the server.
    Key,
}

/// Which backup, and who can read it.
#[derive(Debug, Args)]
pub struct Chosen {
    /// The backup, as `streamhaul backups list` shows it [default: the newest]
    #[arg(long, value_name = "BACKUP")]
    pub backup: Option<String>,
    /// The destination to take it from [default: the first one]
    #[arg(long, value_name = "DESTINATION")]
    pub from: Option<String>,
    /// A file with the age identity that reads it [default: `identity_file` of the settings]
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_BACKUP_IDENTITY")]
    pub identity: Option<PathBuf>,
}

/// Which backups: those of the state directory unless told otherwise.
#[derive(Debug, Clone, Args)]
pub struct BackupsTarget {
    /// The state directory of an instance
    #[arg(long, value_name = "DIR", env = "STREAMHAUL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// A TOML file that says where backups go, who can read them and how long they are kept
    /// [default: backups.toml in the state directory; without one, backups go into `backups`
    /// there, for the key in `secrets/backup_key`]
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_BACKUPS_FILE")]
    pub backups_file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// An instant to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub Target);

fn moment(text: &str) -> Result<Moment, String> {
    if text == "latest" {
        return Ok(Moment(Target::End));
    }
    let time: Result<Timestamp, _> = text.parse();
    time.map(|time| Moment(Target::Time(time))).map_err(|_| {
        "expected `latest` or a time with its zone, such as 2026-11-22T05:00:00Z".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_needs_its_zone() {
        assert_eq!(moment("latest"), Ok(Moment(Target::End)));
        let utc = moment("2026-11-22T05:00:00Z");
        assert_eq!(utc, moment("2026-11-22T06:00:00+01:00"));
        assert!(utc.is_ok());
        assert!(moment("2026-11-22T05:00:00").is_err());
    }
}
