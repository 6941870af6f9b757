//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use model::Region;

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
    /// Stream slots: what keeps its URLs and settings from session to session.
    #[command(subcommand)]
    Streams(Streams),
    /// Relay nodes.
    #[command(subcommand)]
    Nodes(Nodes),
    /// The keys that sign leases.
    #[command(subcommand)]
    Keys(Keys),
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

/// Stream slots.
#[derive(Debug, Subcommand)]
pub enum Streams {
    /// Lists the slots.
    List(Target),
    /// How a stream behaves on its node.
    #[command(subcommand)]
    Settings(Settings),
}

/// How a stream behaves on its node.
#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Shows a stream's settings; what is not set is left to the node.
    Get {
        /// The stream's id or name
        stream: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Changes settings; those that are not named stay.
    ///
    /// The numbers are latency_min_ms, latency_max_ms, rate_bps_max, bytes_max,
    /// players_max and hold_seconds. The words are resume (hold, cut), delivery
    /// (pass_through, buffered), start (newest, keyframe) and encryption (off,
    /// optional, required). The limits, hold_seconds and resume reach a live session
    /// at once; the rest counts for the next caller.
    Set {
        /// The stream's id or name
        stream: String,
        /// Such as `hold_seconds=30`; `resume=default` leaves it to the node again
        #[arg(required = true, value_name = "SETTING=VALUE", value_parser = assignment)]
        settings: Vec<(String, String)>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected SETTING=VALUE, such as hold_seconds=30".to_owned()),
    }
}

/// Relay nodes.
#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// Lists the nodes.
    List(Target),
    /// Makes a node and prints the token it joins with.
    Add {
        /// Your name for it
        name: String,
        /// Where it stands
        #[arg(long, value_parser = region)]
        region: Option<Region>,
        /// How many sessions it may hold
        #[arg(long, value_name = "N")]
        sessions_max: Option<u32>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Gives a node no new sessions; those it has go on.
    Drain {
        /// The node's id or name
        node: String,
        /// Takes it back
        #[arg(long)]
        undo: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Byte budgets: what a node's provider offers, and what is left of it.
    #[command(subcommand)]
    Budget(Budget),
}

/// What a node's provider offers for its traffic, and what is left of it.
#[derive(Debug, Subcommand)]
pub enum Budget {
    /// Shows what is used, held and projected, and what was done to the budget.
    Show {
        /// The node's id or name
        node: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Describes the provider's offer; docs/operations/byte-budgets.md has examples.
    Set {
        /// The node's id or name
        node: String,
        /// The offer.
        #[command(flatten)]
        offer: Box<Offer>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Takes the provider's own reading of what was used; audited.
    Reconcile {
        /// The node's id or name
        node: String,
        /// Bytes used of the allowance, such as 31.2TB, 800GB or 1000000
        #[arg(long, value_name = "BYTES", value_parser = bytes, required_unless_present = "restricted")]
        used: Option<u64>,
        /// Whether the provider throttles or suspends the node now
        #[arg(long, value_name = "BOOL")]
        restricted: Option<bool>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

/// A provider's offer: from a file, or from flags.
#[derive(Debug, Args)]
pub struct Offer {
    /// The whole offer as TOML or JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "port_mbps"], required_unless_present_any = ["kind", "none"])]
    pub file: Option<PathBuf>,
    /// Takes the budget away: the node is never out of bytes
    #[arg(long, conflicts_with_all = ["kind", "file"])]
    pub none: bool,
    /// What is offered
    #[arg(long, requires = "port_mbps")]
    pub kind: Option<OfferKind>,
    /// The port's speed in each direction
    #[arg(long, value_name = "N")]
    pub port_mbps: Option<f64>,
    /// monthly-cap, rolling-cap: bytes in the window; metered: free bytes a month
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub limit: Option<u64>,
    /// rolling-cap: the window
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub hours: u16,
    /// The day on which a month begins
    #[arg(long, value_name = "1..31", default_value_t = 1)]
    pub day: u8,
    /// The provider's time zone
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    pub time_zone: String,
    /// fair-share: the rate that is tolerated for each GiB of memory
    #[arg(long, value_name = "N", default_value_t = 25.0)]
    pub mbps_per_gib: f64,
    /// fair-share: the node's memory
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub gib: f64,
    /// metered: price of a terabyte; or, with a cap, what each further terabyte costs
    #[arg(long, value_name = "PRICE")]
    pub price_per_tb: Option<f64>,
    /// metered: bytes a month beyond which you will not pay
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub budget: Option<u64>,
    /// percentile95: the rate that is paid for anyway
    #[arg(long, value_name = "N")]
    pub commit_mbps: Option<f64>,
    /// percentile95: price of each Mbit/s above it
    #[arg(long, value_name = "PRICE")]
    pub price_per_mbps: Option<f64>,
    /// The port's speed when the allowance is used up; without it the node is suspended
    #[arg(long, value_name = "N")]
    pub floor_mbps: Option<f64>,
    /// The provider must be asked to lift the floor
    #[arg(long)]
    pub ticket: bool,
    /// Which bytes the provider counts
    #[arg(long, default_value = "sum", value_parser = ["egress", "ingress", "sum", "max"])]
    pub counts: String,
    /// How well the offer is known
    #[arg(long, default_value = "documented", value_parser = ["documented", "measured", "rumour"])]
    pub confidence: String,
    /// What the node costs a month
    #[arg(long, value_name = "PRICE", default_value_t = 0.0)]
    pub price: f64,
    /// The control plane runs on this node: keep twice as much back
    #[arg(long)]
    pub co_located: bool,
}

/// What is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OfferKind {
    /// So many bytes a month.
    MonthlyCap,
    /// So many bytes in any span of so many hours.
    RollingCap,
    /// No stated limit, but a rate beyond which the provider takes notice.
    FairShare,
    /// No limit.
    Unmetered,
    /// Every byte costs.
    Metered,
    /// Billed by the 95th percentile of the month's rates.
    #[value(name = "percentile95")]
    Percentile95,
}

/// Where sessions go, and why.
#[derive(Debug, Subcommand)]
pub enum Placement {
    /// Shows where a session would go now: every node with each term of its cost, or why
    /// it is out. With a session, why that one is where it is.
    Explain {
        /// A session that was started
        #[arg(long, conflicts_with_all = ["region", "mbps", "players", "hours"])]
        session: Option<String>,
        /// The region it would ask for
        #[arg(long, value_parser = region)]
        region: Option<Region>,
        /// The stream's rate
        #[arg(long, value_name = "N")]
        mbps: Option<f64>,
        /// How many players it would have
        #[arg(long, value_name = "N")]
        players: Option<u32>,
        /// How long it would last
        #[arg(long, value_name = "N")]
        hours: Option<f64>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

/// Bytes as providers write them: decimal units.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "expected bytes such as 32TB, 800GB or 1000000".to_owned();
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("B", 1.0)];
    let found = units.iter().find(|(unit, _)| text.ends_with(unit));
    let (number, factor) = match found {
        Some((unit, factor)) => (text.trim_end_matches(unit), *factor),
        None => (text, 1.0),
    };
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * factor;
    if (0.0..=1e18).contains(&bytes) {
        Ok(bytes.round() as u64)
    } else {
        Err(wrong())
    }
}

/// The keys that sign leases.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Lists the keys.
    List(Target),
    /// Signs with the next key from now on, and makes another next one.
    ///
    /// Nodes know the next key already: no stream is cut, no caller refused. What the
    /// retired key signed is believed until it has run out.
    Rotate(Target),
    /// Believes nothing that a key signed any longer; for a key that leaked.
    ///
    /// Nodes cut the streams that live on its leases. Their senders and players call
    /// again, with the URLs they have, and are let in with leases of another key.
    Revoke {
        /// The key's id, as `streamhaul keys list` shows it
        kid: String,
        /// Why, for the audit
        #[arg(long)]
        reason: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
}

/// People. A user is named by id, e-mail address or, when nobody else has it, name.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Lists the users.
    List(Target),
    /// Shows a user.
    Show {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Makes a user and prints their token, for scripts.
    Create {
        /// What they are called
        name: String,
        /// Where they are reached; they set a password by `users reset-password`
        #[arg(long)]
        email: Option<String>,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lets somebody make an account: prints the link, and mails it where mail is set up.
    Invite {
        /// Where they are reached
        email: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Shuts a user out: their tokens, sign-ins and live streams end at once.
    Disable {
        /// The user's id, e-mail address or name
        user: String,
        /// Lets them in again
        #[arg(long)]
        undo: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Prints a link by which a user sets a new password, and mails it where mail is set up.
    ResetPassword {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Lists the browsers, plugins and docks that are signed in as a user.
    Sessions {
        /// The user's id, e-mail address or name
        user: String,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
    /// Signs a user's browser, plugin or dock out.
    Revoke {
        /// The user's id, e-mail address or name
        user: String,
        /// Which one, as `users sessions` shows it
        #[arg(required_unless_present = "all")]
        session: Option<String>,
        /// Every one
        #[arg(long, conflicts_with = "session")]
        all: bool,
        /// Which instance.
        #[command(flatten)]
        target: Target,
    },
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

    #[test]
    fn bytes_are_written_as_providers_write_them() {
        assert_eq!(bytes("32TB"), Ok(32_000_000_000_000));
        assert_eq!(bytes("31.2 TB"), Ok(31_200_000_000_000));
        assert_eq!(bytes("1000"), Ok(1000));
        for text in ["", "TB", "-1GB", "1PB", "NaN", "1e30"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_offer_is_a_file_or_a_kind() {
        let parse = |arguments: &str| {
            let set = "streamhaul nodes budget set kc1";
            Cli::try_parse_from(format!("{set} {arguments}").split_whitespace())
        };
        assert!(parse("--kind monthly-cap --port-mbps 1000 --limit 32TB --floor-mbps 1").is_ok());
        assert!(parse("--file kc1.toml").is_ok());
        assert!(parse("--none").is_ok());
        for wrong in [
            "",
            "--kind monthly-cap",
            "--file kc1.toml --kind unmetered --port-mbps 1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert_eq!(
            assignment("resume=cut"),
            Ok(("resume".to_owned(), "cut".to_owned()))
        );
        for text in ["resume", "resume=", "=cut", ""] {
            assert!(assignment(text).is_err(), "{text}");
        }
    }
}
