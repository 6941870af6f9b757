//! What a node's provider offers for its traffic.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

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

/// Bytes as providers write them: decimal units.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

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
}
