//! `streamhaul apps stats` and `streamhaul apps export`.

use std::path::PathBuf;

use clap::Args;

use super::{AppName, GatewayTarget, app_name};

/// What is asked of an app's events.
#[derive(Debug, Args)]
pub struct AppStats {
    /// Which app, as `org/name`
    #[arg(value_name = "ORG/NAME", value_parser = app_name)]
    pub app: AppName,
    /// What to measure
    #[arg(long, default_value = "count", value_parser = ["count", "rate", "uniques", "percentiles"])]
    pub measure: String,
    /// Whom to count, for uniques [default: user]
    #[arg(long, value_parser = ["user", "session"])]
    pub of: Option<String>,
    /// A number in the events' data, for percentiles, such as duration_ms
    #[arg(long, value_name = "PATH")]
    pub field: Option<String>,
    /// By what to tell events apart
    #[arg(long, value_parser = ["type", "version", "os"])]
    pub by: Option<String>,
    /// How many groups, 1 to 50; the rest is one [default: 10]
    #[arg(long, requires = "by")]
    pub groups: Option<u32>,
    /// How long a step is, such as 5m: whole minutes, a day at most [default: by the span]
    #[arg(long, value_name = "TIME")]
    pub step: Option<String>,
    /// Which events.
    #[command(flatten)]
    pub events: EventsAsked,
    /// Which instance.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// Which events are written, and how.
#[derive(Debug, Args)]
pub struct AppExport {
    /// Which app, as `org/name`
    #[arg(value_name = "ORG/NAME", value_parser = app_name)]
    pub app: AppName,
    /// One JSON object a line, or a table that spreadsheets read
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "csv"])]
    pub format: String,
    /// Writes to this file, which is there once all is written; `-`: to standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Which events.
    #[command(flatten)]
    pub events: EventsAsked,
    /// Which instance.
    #[command(flatten)]
    pub target: GatewayTarget,
}

/// Which events.
#[derive(Debug, Args)]
pub struct EventsAsked {
    /// From when on: RFC 3339, or so long ago, such as -7d
    #[arg(
        long,
        value_name = "TIME",
        default_value = "-24h",
        allow_hyphen_values = true
    )]
    pub from: String,
    /// Until when: RFC 3339, so long ago, or now
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    pub to: String,
    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
}
