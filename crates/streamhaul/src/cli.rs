//! The command line.

mod apps;
mod archives;
mod backups;
mod bans;
mod budget;
mod dns;
mod fleet;
mod jobs;
mod keys;
mod nodes;
mod placement;
mod plans;
mod service;
mod sessions;
mod streams;
mod users;
mod webhooks;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use apps::{AppChange, AppExport, AppName, AppStats, Apps, EventsAsked, GatewayTarget, NewApp};
pub use archives::{Archives, ArchivesTarget, KindWord};
pub use backups::{Backup, Backups, BackupsTarget, Chosen, Moment, Restore, VerifyBackup};
pub use bans::{BanKind, Bans};
pub use budget::{Budget, Offer, OfferKind};
use clap::{Args, Parser, Subcommand};
pub use dns::Dns;
pub use fleet::Fleet;
pub use jobs::{Jobs, JobsTarget};
pub use keys::Keys;
use model::Region;
pub use nodes::Nodes;
pub use placement::Placement;
pub use plans::{PlanSet, Plans};
pub use service::ServiceAccess;
pub use sessions::Sessions;
pub use streams::{Settings, Streams};
pub use users::{UserToken, Users};
pub use webhooks::Webhooks;

use crate::up::ports::BASE_MAX;

/// Carries live video from the field to the studio.
#[derive(Debug, Parser)]
#[command(name = "streamhaul", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs everything on this machine, until Ctrl-C.
    ///
    /// Starts a private PostgreSQL and the four services in one process. The first
    /// start makes the database, the keys and the administrator's token; later
    /// ones reuse them.
    Up(Up),
    /// Says how a running instance is; exits with 1 when a part is not well.
    Status(Target),
    /// Sessions: a stream on a relay node, with URLs to publish and to play.
    #[command(subcommand)]
    Relay(Relay),
    /// Everybody's sessions, for operators.
    #[command(subcommand)]
    Sessions(Sessions),
    /// Endpoints that are told what sessions do.
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Stream slots: what keeps its URLs and settings from session to session.
    #[command(subcommand)]
    Streams(Streams),
    /// Relay nodes.
    #[command(subcommand)]
    Nodes(Nodes),
    /// The fleet as a whole: what it lacks.
    #[command(subcommand)]
    Fleet(Fleet),
    /// The keys that sign leases.
    #[command(subcommand)]
    Keys(Keys),
    /// Plans: how much users may do.
    #[command(subcommand)]
    Plans(Plans),
    /// The names of stream slots in the DNS.
    #[command(subcommand)]
    Dns(Dns),
    /// Who and what is shut out: tenants, users, addresses, stream keys.
    #[command(subcommand)]
    Bans(Bans),
    /// Who did what to the instance, newest first.
    Audit {
        /// Only this action, such as `node.drain`, or a family of them, such as `node`
        #[arg(long)]
        action: Option<String>,
        /// Only what was done to this id
        #[arg(long, value_name = "ID")]
        subject: Option<String>,
        /// Only what is older than this entry
        #[arg(long, value_name = "ENTRY")]
        before: Option<i64>,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Background work: what waits, runs and failed; queues and schedules.
    #[command(subcommand)]
    Jobs(Jobs),
    /// Apps that send events: who they are, what they may, their secrets.
    #[command(subcommand)]
    Apps(Apps),
    /// Days of telemetry that have left the database for the archive.
    #[command(subcommand)]
    Archives(Archives),
    /// Backs the database up, now.
    ///
    /// Copies the whole server while it works, with its log up to the end of that, into every
    /// destination: compressed, encrypted, and with a list of what was in each table.
    Backup(Backup),
    /// Brings a backup back, as a directory that PostgreSQL and `streamhaul up` run on.
    ///
    /// Nothing that exists is changed: the directory must be new.
    Restore(Restore),
    /// Proves that a backup is one: restores it for a while, and compares every table.
    ///
    /// Deletes older backups after that, as far as `keep` says so.
    VerifyBackup(VerifyBackup),
    /// The backups that there are.
    #[command(subcommand)]
    Backups(Backups),
    /// Where sessions go, and why.
    #[command(subcommand)]
    Placement(Placement),
    /// People: who has an account, and who may come in.
    #[command(subcommand)]
    Users(Users),
    /// Prints a link that signs a dock in, once: for OBS, a browser or a phone.
    DockUrl {
        /// How the browser reaches the instance, such as https://streamhaul.example
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Prints the shell's completion script.
    ///
    /// For bash: `streamhaul completion bash > ~/.local/share/bash-completion/completions/streamhaul`
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How to run everything.
#[derive(Debug, Args)]
pub struct Up {
    /// Where everything is kept [default: $XDG_STATE_HOME/streamhaul or
    /// ~/.local/state/streamhaul; for root /var/lib/streamhaul]
    #[arg(long, value_name = "DIR", env = "STREAMHAUL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Moves every port: the HTTP API is on N, the relay's UDP port on N+6
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1024..=i64::from(BASE_MAX)))]
    pub port_base: Option<u16>,
    /// Uses this PostgreSQL (15 or newer) instead of a private one
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMHAUL_DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// The name or address by which phones and players reach this machine
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub public_host: String,
    /// Where browsers reach this instance, such as https://streamhaul.example; links in
    /// letters begin with it [default: the HTTP API of this machine]
    #[arg(long, value_name = "URL", env = "STREAMHAUL_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// A file with the mail server's URL, such as smtps://user:password@host:465; without
    /// one, letters are files in the state directory
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_SMTP_URL_FILE")]
    pub smtp_url_file: Option<PathBuf>,
    /// Whom letters are from, such as "Streamhaul <streamhaul@example.com>"
    #[arg(long, value_name = "MAILBOX", env = "STREAMHAUL_MAIL_FROM")]
    pub mail_from: Option<String>,
    /// Lets people sign in with Twitch, Google or Discord: a TOML file with a table for each,
    /// such as `[twitch]` with `client_id` and `client_secret_file`
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_PROVIDERS_FILE")]
    pub providers_file: Option<PathBuf>,
    /// Gives streams names in the DNS: a TOML file with the table `[api]` (such as `zone`) and
    /// the table `[jobs]` (such as `provider`), as these services have them in `[dns]`
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_DNS_FILE")]
    pub dns_file: Option<PathBuf>,
    /// Makes backups by itself: a TOML file that says where they go [default: backups.toml in
    /// the state directory, if it is there]
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_BACKUPS_FILE")]
    pub backups_file: Option<PathBuf>,
    /// Says how long telemetry is kept, and where it goes then: a TOML file [default:
    /// telemetry.toml in the state directory, if it is there; without it, all is kept]
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_TELEMETRY_FILE")]
    pub telemetry_file: Option<PathBuf>,
    /// An ASN database (MaxMind DB format) that says which carrier a link belongs to
    #[arg(long, value_name = "FILE", env = "STREAMHAUL_ASN_DATABASE")]
    pub asn_database: Option<PathBuf>,
    /// Where this machine stands
    #[arg(long, default_value = "local", value_parser = region)]
    pub region: Region,
    /// Which log lines to show, such as `warn` or `info,streamhaul_relay_node=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "STREAMHAUL_LOG",
        default_value = "info,sqlx=warn"
    )]
    pub log: String,
}

/// Which instance to speak to: the one of `run.json` unless told otherwise.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The state directory of a running instance
    #[arg(long, value_name = "DIR", env = "STREAMHAUL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// The HTTP API of an instance, such as http://127.0.0.1:8080
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMHAUL_API_URL",
        requires = "token"
    )]
    pub api: Option<String>,
    /// The token to use with it
    #[arg(long, env = "STREAMHAUL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Sessions.
#[derive(Debug, Subcommand)]
pub enum Relay {
    /// Starts a session, or finds the one of that name.
    Start {
        /// Your name for it; its URLs stay the same from session to session
        #[arg(long)]
        name: Option<String>,
        /// Where to place it, if anywhere in particular
        #[arg(long, value_parser = region)]
        region: Option<Region>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lists the live sessions.
    List(Target),
    /// Stops a session.
    Stop {
        /// The session's id or name
        session: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

/// A time as people write it: `90`, `30m`, `1h30m`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 90s, 30m, 1h30m or 7d".to_owned();
    let (mut seconds, mut number) = (0_u64, None);
    for letter in text.chars() {
        if let Some(digit) = letter.to_digit(10) {
            let so_far = number.unwrap_or(0_u64);
            let longer = so_far
                .checked_mul(10)
                .and_then(|it| it.checked_add(digit.into()));
            number = Some(longer.ok_or_else(wrong)?);
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count = number.take().ok_or_else(wrong)?;
        let added = count
            .checked_mul(unit)
            .and_then(|it| it.checked_add(seconds));
        seconds = added.ok_or_else(wrong)?;
    }
    match number {
        // A number without a unit is seconds, and stands alone.
        Some(number) if seconds == 0 && !text.contains(char::is_alphabetic) => {
            Ok(Duration::from_secs(number))
        }
        None if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

fn region(text: &str) -> Result<Region, String> {
    Region::parse(text).map_err(|error| error.to_string())
}

/// A host as it stands in a URL: IPv6 addresses are in brackets.
#[must_use]
pub fn url_host(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_port_base_leaves_room_for_every_port() {
        let parse = |base: &str| Cli::try_parse_from(["streamhaul", "up", "--port-base", base]);
        assert!(parse("24000").is_ok());
        assert!(parse("65530").is_err());
        assert!(parse("80").is_err());
    }
}
