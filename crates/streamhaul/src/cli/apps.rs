//! `streamhaul apps`.

mod ask;

use std::time::Duration;

pub use ask::{AppExport, AppStats, EventsAsked};
use clap::{Args, Subcommand, ValueEnum};
use model::app::Tier;

use super::{ServiceAccess, duration};

/// Apps that send events.
#[derive(Debug, Subcommand)]
pub enum Apps {
    /// Makes an app, and shows its token and secret, once.
    Create(Box<NewApp>),
    /// Lists apps, the oldest first.
    List {
        /// Only those made after this one: to read on where a list ended
        #[arg(long, value_name = "ORG/NAME", value_parser = app_name)]
        after: Option<AppName>,
        /// How many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Which instance.
        #[command(flatten)]
        target: GatewayTarget,
    },
    /// Shows one app: its bounds, its secrets' ages, what it sent this month, what was done to it.
    Show {
        /// Which, as `org/name`
        #[arg(value_name = "ORG/NAME", value_parser = app_name)]
        app: AppName,
        /// Which instance.
        #[command(flatten)]
        target: GatewayTarget,
    },
    /// Changes an app's bounds; gateways follow within a second.
    ///
    /// What is not given stays as it is. With another tier, bounds that were the old tier's become
    /// the new one's.
    Change(Box<AppChange>),
    /// Counts an app's events, in steps of time, or measures them.
    Stats(Box<AppStats>),
    /// Shows what an app sent this month and on the last days, and what it may.
    Usage {
        /// Which, as `org/name`
        #[arg(value_name = "ORG/NAME", value_parser = app_name)]
        app: AppName,
        /// How many days, today's included
        #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=400))]
        days: u32,
        /// Which instance.
        #[command(flatten)]
        target: GatewayTarget,
    },
    /// Writes an app's events, all of them or some, as NDJSON or CSV.
    ///
    /// In the order of their time.
    Export(Box<AppExport>),
    /// Gives an app another token and secret, shown once; those before stay good for a while.
    Rotate {
        /// Which, as `org/name`
        #[arg(value_name = "ORG/NAME", value_parser = app_name)]
        app: AppName,
        /// How long those before stay good, such as 24h; 0 ends them now
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
        grace: Duration,
        /// Which instance.
        #[command(flatten)]
        target: GatewayTarget,
    },
    /// Takes nothing of an app any more.
    Disable {
        /// Which, as `org/name`
        #[arg(value_name = "ORG/NAME", value_parser = app_name)]
        app: AppName,
        /// Which instance.
        #[command(flatten)]
        target: GatewayTarget,
    },
    /// Takes what a disabled app sends again.
    Enable {
        /// Which, as `org/name`
        #[arg(value_name = "ORG/NAME", value_parser = app_name)]
        app: AppName,
        /// Which instance.
        #[command(flatten)]
        target: GatewayTarget,
    },
}

/// An app to be made.
#[derive(Debug, Args)]
pub struct NewApp {
    /// The app, as `org/name`: what its SDK is told as organisation and app
    #[arg(value_name = "ORG/NAME", value_parser = app_name)]
    pub app: AppName,
    /// What it is granted unless told otherwise below
    #[arg(long, default_value = "free")]
    pub tier: TierWord,
    /// Events in a calendar month; 0: any number [default: the tier's]
    #[arg(long, value_name = "EVENTS")]
    pub quota: Option<u64>,
    /// Events in a second on the long run; 0: any number [default: the tier's]
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<u64>,
    /// Days for which events are kept [default: the tier's]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub retention_days: Option<u32>,
    /// A network that may send, such as 192.0.2.0/24; may be given several times [default: all]
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<String>,
    /// An origin whose pages may send, such as https://app.example.com; may be given several
    /// times [default: none]
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Counts what its clients measure for the service level indicators
    #[arg(long)]
    pub slis: bool,
    /// Which instance.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// A change of an app.
#[derive(Debug, Args)]
pub struct AppChange {
    /// Which, as `org/name`
    #[arg(value_name = "ORG/NAME", value_parser = app_name)]
    pub app: AppName,
    /// What changes.
    #[command(flatten)]
    pub terms: ChangedTerms,
    /// Which instance.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// What changes.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct ChangedTerms {
    /// What it is granted where nothing else was said
    #[arg(long)]
    pub tier: Option<TierWord>,
    /// Events in a calendar month; 0: any number
    #[arg(long, value_name = "EVENTS")]
    pub quota: Option<u64>,
    /// Events in a second on the long run; 0: any number
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<u64>,
    /// Days for which events are kept
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub retention_days: Option<u32>,
    /// A network that may send, such as 192.0.2.0/24, in place of those before; may be given
    /// several times
    #[arg(long = "network", value_name = "CIDR")]
    pub networks: Vec<String>,
    /// Every network may send
    #[arg(long, conflicts_with = "networks")]
    pub any_network: bool,
    /// An origin whose pages may send, such as https://app.example.com, in place of those before;
    /// may be given several times
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// No pages may send
    #[arg(long, conflicts_with = "origins")]
    pub no_origin: bool,
    /// Whether what its clients measure counts for the service level indicators
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    pub slis: Option<bool>,
}

/// An app's organisation and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppName {
    /// Whose it is.
    pub org: String,
    /// What it is called.
    pub name: String,
}

/// Which instance's gateway: the one of `run.json` unless told otherwise.
#[derive(Debug, Clone, Args)]
pub struct GatewayTarget {
    /// The gRPC listener of the metrics-gateway, such as http://127.0.0.1:7004
    /// or https://gateway.example:7004
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMHAUL_GATEWAY_URL",
        requires = "service_token_file"
    )]
    pub gateway: Option<String>,
    /// The rest.
    #[command(flatten)]
    pub access: ServiceAccess,
}

/// A tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierWord(pub Tier);

impl ValueEnum for TierWord {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [TierWord; 4] = [
            TierWord(Tier::Free),
            TierWord(Tier::Pro),
            TierWord(Tier::Business),
            TierWord(Tier::Enterprise),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

fn app_name(text: &str) -> Result<AppName, String> {
    let (org, name) = text.split_once('/').ok_or("expected org/name")?;
    if org.is_empty() || name.is_empty() || name.contains('/') {
        return Err("expected org/name".to_owned());
    }
    Ok(AppName {
        org: org.to_owned(),
        name: name.to_owned(),
    })
}
