//! Records in the DNS, and who writes them there.
//!
//! A [`Provider`] makes one name be what a [`Record`] says, whatever it was. To add one,
//! implement the trait in a file of its own, name it in the configuration, and test it
//! against a server that checks what it is told.

mod cloudflare;
mod rfc2136;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::future::BoxFuture;

pub use cloudflare::{Cloudflare, Settings as CloudflareSettings};
pub use rfc2136::{Rfc2136, Settings as Rfc2136Settings};

/// What a name should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The whole name, without a dot at the end.
    pub name: String,
    /// What it points at; none: it has no record.
    pub target: Option<Target>,
    /// How long resolvers may keep it.
    pub ttl_seconds: u32,
}

/// What a name points at; it has one record, and this says of which type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A (RFC 1035, section 3.4.1).
    V4(Ipv4Addr),
    /// AAAA (RFC 3596, section 2.1).
    V6(Ipv6Addr),
    /// CNAME (RFC 1035, section 3.3.1): a host name without a dot at the end.
    Host(String),
}

impl Target {
    /// Reads an address or a host name.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is neither.
    pub fn parse(host: &str) -> Result<Self, Error> {
        match host.parse() {
            Ok(IpAddr::V4(address)) => Ok(Self::V4(address)),
            Ok(IpAddr::V6(address)) => Ok(Self::V6(address)),
            Err(_) if is_host_name(host) => Ok(Self::Host(host.to_ascii_lowercase())),
            Err(_) => Err(Error::Refused(
                "the node's public host is neither an address nor a host name".to_owned(),
            )),
        }
    }

    /// The record's type, as zone files write it.
    #[must_use]
    pub const fn record_type(&self) -> &'static str {
        match self {
            Self::V4(_) => "A",
            Self::V6(_) => "AAAA",
            Self::Host(_) => "CNAME",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(formatter),
            Self::V6(address) => address.fmt(formatter),
            Self::Host(name) => name.fmt(formatter),
        }
    }
}

/// RFC 1123, section 2.1, with a dot somewhere: a single label is nobody's public name.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

/// Where records are.
pub trait Provider: Send + Sync + 'static {
    /// Makes a name be what `record` says. Doing it again changes nothing.
    fn apply<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Error>>;
}

/// Why a record was not written, or nobody knows whether it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or not sensibly.
    #[error("the DNS provider is away: {0}")]
    Unavailable(String),
    /// Too many requests; the next one after this long.
    #[error("the DNS provider wants to be left alone for {} s", .0.as_secs())]
    RateLimited(Duration),
    /// It does not let us; no record of ours will do better.
    #[error("the DNS provider does not let us: {0}")]
    Unauthorized(String),
    /// It does not take this one.
    #[error("the DNS provider does not take the record: {0}")]
    Refused(String),
}

impl Error {
    /// Every reason, as a label.
    pub const REASONS: [&str; 4] = ["unavailable", "rate_limited", "unauthorized", "refused"];

    /// The reason as a label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        let [unavailable, rate_limited, unauthorized, refused] = Self::REASONS;
        match self {
            Self::Unavailable(_) => unavailable,
            Self::RateLimited(_) => rate_limited,
            Self::Unauthorized(_) => unauthorized,
            Self::Refused(_) => refused,
        }
    }

    /// Whether another record would have no better luck now.
    #[must_use]
    pub const fn concerns_all(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name() {
        let of =
            |host| Target::parse(host).map(|target| (target.record_type(), target.to_string()));
        assert_eq!(of("192.0.2.7"), Ok(("A", "192.0.2.7".to_owned())));
        assert_eq!(of("2001:DB8::7"), Ok(("AAAA", "2001:db8::7".to_owned())));
        assert_eq!(
            of("Relay-1.example"),
            Ok(("CNAME", "relay-1.example".to_owned()))
        );
        for wrong in [
            "",
            "localhost",
            "relay example",
            "relay.example.",
            "-relay.example",
            "192.0.2.7:5000",
            "[2001:db8::7]",
            "relay.example\n",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
