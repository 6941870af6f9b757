//! The names of stream slots in the DNS.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service_kit::config::check_positive;

use super::{SessionsConfig, seconds};

/// A name: a slot's label of 16 characters, a dot and the zone (RFC 1035, section 2.3.4).
const ZONE_LENGTH_MAX: usize = 253 - 17;
const LABEL_LENGTH_MAX: usize = 63;
const TTL_SECONDS: std::ops::RangeInclusive<u32> = 30..=86_400;

/// The names of stream slots in the DNS; `jobs` writes them there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    /// What slots' names end with, such as `live.example.com`; none: slots have no names.
    pub zone: Option<String>,
    /// How long resolvers may keep where a name points.
    pub ttl_seconds: u32,
    /// How long a name is kept without a live session.
    pub keep_seconds: u32,
    /// How long a record is believed to be as it was written; then it is written again.
    pub refresh_seconds: u32,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            zone: None,
            ttl_seconds: 60,
            keep_seconds: 30 * 24 * 3600,
            refresh_seconds: 6 * 3600,
        }
    }
}

impl DnsConfig {
    pub(super) fn validate(&self, sessions: &SessionsConfig) -> Result<(), String> {
        let Some(zone) = &self.zone else {
            return Ok(());
        };
        if !is_zone(zone) {
            return Err(format!(
                "dns.zone: {zone:?} is no domain name; write it like live.example.com: lower \
                 case, at most {ZONE_LENGTH_MAX} characters, no dot at either end"
            ));
        }
        if !TTL_SECONDS.contains(&self.ttl_seconds) {
            return Err("dns.ttl_seconds: 30 to 86400".to_owned());
        }
        // A publisher that a resolver still sends to the old node must find it serving.
        if self.ttl_seconds.saturating_mul(2) > sessions.move_seconds {
            return Err(format!(
                "dns.ttl_seconds: at most half of sessions.move_seconds ({}), so that whoever \
                 is sent to a stream's old node is still served there; lower this or raise that",
                sessions.move_seconds
            ));
        }
        check_positive(&[
            ("dns.keep_seconds", self.keep_seconds),
            ("dns.refresh_seconds", self.refresh_seconds),
        ])
    }

    pub(crate) fn keep(&self) -> Duration {
        seconds(self.keep_seconds)
    }

    pub(crate) fn refresh(&self) -> Duration {
        seconds(self.refresh_seconds)
    }
}

/// Whether a text is a host name (RFC 1123, section 2.1) of two labels or more.
fn is_zone(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=LABEL_LENGTH_MAX).contains(&label.len())
            && label.bytes().all(|byte| is_inner(byte) || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= ZONE_LENGTH_MAX && text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: fn(&mut DnsConfig)) -> Result<(), String> {
        let mut config = DnsConfig {
            zone: Some("live.example.com".to_owned()),
            ..DnsConfig::default()
        };
        change(&mut config);
        config.validate(&SessionsConfig::default())
    }

    #[test]
    fn a_zone_is_a_domain_name() {
        assert_eq!(
            DnsConfig::default().validate(&SessionsConfig::default()),
            Ok(())
        );
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(
            checked(|it| it.zone = Some("xn--mnchen-3ya.example".to_owned())),
            Ok(())
        );
        for wrong in [
            "",
            "example",
            "Live.example.com",
            ".example.com",
            "example.com.",
            "live..example.com",
            "-live.example.com",
            "live_1.example.com",
            "münchen.example",
            "live.example.com/..",
        ] {
            let config = DnsConfig {
                zone: Some(wrong.to_owned()),
                ..DnsConfig::default()
            };
            let refused = config.validate(&SessionsConfig::default());
            assert!(refused.unwrap_err().contains("dns.zone"), "{wrong}");
        }
        let label = "a".repeat(63);
        let long = format!("{label}.{label}.{label}.{label}");
        assert!(!is_zone(&long));
    }

    #[test]
    fn a_move_outlasts_what_resolvers_keep() {
        assert!(checked(|it| it.ttl_seconds = 300).is_ok());
        let refused = checked(|it| it.ttl_seconds = 301).unwrap_err();
        assert!(refused.contains("sessions.move_seconds (600)"), "{refused}");
        assert!(checked(|it| it.ttl_seconds = 29).is_err());
        assert!(checked(|it| it.keep_seconds = 0).is_err());
    }
}
