//! Where the names of streams are written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use service_kit::config::check_files;

use crate::dns::{Cloudflare, CloudflareSettings, Provider, Rfc2136, Rfc2136Settings};

const API_URL: &str = "https://api.cloudflare.com/client/v4";
const ZONE_ID_LENGTH: usize = 32;

/// Where the names of streams are written. Which names there are, and for how long, is
/// `api`'s to say: its `dns.zone`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    /// Who has the zone.
    pub provider: DnsProvider,
    /// For `cloudflare`.
    pub cloudflare: CloudflareConfig,
    /// For `rfc2136`.
    pub rfc2136: Rfc2136Config,
}

/// Who has the zone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsProvider {
    /// Nobody: nothing is written.
    #[default]
    None,
    /// Cloudflare, by its API.
    Cloudflare,
    /// A name server that takes dynamic updates.
    Rfc2136,
}

/// A zone at Cloudflare.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudflareConfig {
    /// A file that holds an API token with the permission Zone / DNS / Edit for the zone.
    pub token_file: PathBuf,
    /// The zone's id, which Cloudflare shows on the zone's overview.
    pub zone_id: String,
    /// Where the API is.
    pub api_url: String,
}

impl Default for CloudflareConfig {
    fn default() -> Self {
        Self {
            token_file: PathBuf::new(),
            zone_id: String::new(),
            api_url: API_URL.to_owned(),
        }
    }
}

/// A zone at a name server that takes dynamic updates.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rfc2136Config {
    /// The primary server, such as `192.0.2.53:53`.
    pub server: Option<SocketAddr>,
    /// The zone as the server knows it; `dns.zone` of `api`, or what that is below.
    pub zone: String,
    /// The name of the TSIG key.
    pub key_name: String,
    /// A file that holds the key for HMAC-SHA256, in base64, as `tsig-keygen` prints it.
    pub key_file: PathBuf,
}

impl DnsConfig {
    pub(super) fn validate(&self) -> Result<(), String> {
        match self.provider {
            DnsProvider::None => Ok(()),
            DnsProvider::Cloudflare => self.cloudflare.validate(),
            DnsProvider::Rfc2136 => self.rfc2136.validate(),
        }
    }

    /// Reads the secret and makes the provider; none: nothing is written.
    pub(crate) fn provider(&self) -> anyhow::Result<Option<Arc<dyn Provider>>> {
        Ok(match self.provider {
            DnsProvider::None => None,
            DnsProvider::Cloudflare => Some(Arc::new(self.cloudflare.provider()?)),
            DnsProvider::Rfc2136 => Some(Arc::new(self.rfc2136.provider()?)),
        })
    }
}

impl CloudflareConfig {
    fn validate(&self) -> Result<(), String> {
        check_files(&[("dns.cloudflare.token_file", &self.token_file)])?;
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        if self.zone_id.len() != ZONE_ID_LENGTH || !self.zone_id.bytes().all(is_digit) {
            return Err(
                "dns.cloudflare.zone_id: 32 hexadecimal digits; Cloudflare shows them on the \
                 zone's overview"
                    .to_owned(),
            );
        }
        // The token goes there: in the clear only within this machine.
        let is_safe = ["https://", "http://127.0.0.1:", "http://[::1]:"]
            .iter()
            .any(|start| self.api_url.starts_with(start));
        if !is_safe || self.api_url.contains(['?', '#', '@', ' ']) {
            return Err(format!("dns.cloudflare.api_url: such as {API_URL}"));
        }
        Ok(())
    }

    fn provider(&self) -> anyhow::Result<Cloudflare> {
        let token = service_kit::secret::read_file(&self.token_file);
        Cloudflare::new(&CloudflareSettings {
            api_url: self.api_url.clone(),
            zone_id: self.zone_id.clone(),
            token: token.context("dns.cloudflare.token_file")?,
        })
    }
}

impl Rfc2136Config {
    fn validate(&self) -> Result<(), String> {
        if self.server.is_none() {
            return Err(
                "dns.rfc2136.server: set it to the primary server's address, such as \
                 192.0.2.53:53"
                    .to_owned(),
            );
        }
        for (setting, value) in [("zone", &self.zone), ("key_name", &self.key_name)] {
            if value.is_empty() {
                return Err(format!("dns.rfc2136.{setting}: set it"));
            }
        }
        check_files(&[("dns.rfc2136.key_file", &self.key_file)])
    }

    fn provider(&self) -> anyhow::Result<Rfc2136> {
        let secret = service_kit::secret::read_file(&self.key_file);
        Rfc2136::new(&Rfc2136Settings {
            server: self.server.context("dns.rfc2136.server: set it")?,
            zone: self.zone.clone(),
            key_name: self.key_name.clone(),
            secret: secret.context("dns.rfc2136.key_file")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_unless_somebody_says_where() {
        let config = DnsConfig::default();
        assert_eq!(config.validate(), Ok(()));
        assert!(config.provider().unwrap().is_none());
    }

    #[test]
    fn a_provider_says_what_it_lacks() {
        let mut config = DnsConfig {
            provider: DnsProvider::Cloudflare,
            ..DnsConfig::default()
        };
        let lacks = |config: &DnsConfig| config.validate().unwrap_err();
        assert_eq!(lacks(&config), "dns.cloudflare.token_file: set it");
        config.cloudflare.token_file = "/run/secrets/cloudflare".into();
        assert!(lacks(&config).starts_with("dns.cloudflare.zone_id: 32"));
        config.cloudflare.zone_id = "0123456789abcdef0123456789abcdef".to_owned();
        assert_eq!(config.validate(), Ok(()));
        for unsafe_url in [
            "http://api.example/client/v4",
            "http://127.0.0.1.example/",
            "https://user@api.example/",
            "api.cloudflare.com",
        ] {
            config.cloudflare.api_url = unsafe_url.to_owned();
            assert!(
                lacks(&config).starts_with("dns.cloudflare.api_url"),
                "{unsafe_url}"
            );
        }

        config.provider = DnsProvider::Rfc2136;
        assert!(lacks(&config).starts_with("dns.rfc2136.server: set it"));
        config.rfc2136.server = Some(([127, 0, 0, 1], 53).into());
        assert_eq!(lacks(&config), "dns.rfc2136.zone: set it");
        config.rfc2136.zone = "example.com".to_owned();
        config.rfc2136.key_name = "streamhaul".to_owned();
        assert_eq!(lacks(&config), "dns.rfc2136.key_file: set it");
        config.rfc2136.key_file = "/run/secrets/tsig".into();
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn a_key_is_base64_of_enough_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let key_file = directory.path().join("tsig");
        let with = |key: &str| {
            std::fs::write(&key_file, key).unwrap();
            let config = Rfc2136Config {
                server: Some(([127, 0, 0, 1], 53).into()),
                zone: "example.com".to_owned(),
                key_name: "streamhaul".to_owned(),
                key_file: key_file.clone(),
            };
            config.provider().map(|_| ())
        };
        assert!(with("c2VjcmV0IG9mIHRoZSB0ZXN0cw==\n").is_ok());
        for wrong in ["c2hvcnQ=", "not base64!"] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains("tsig-keygen"), "{error}");
            assert!(!error.contains(wrong), "{error}");
        }
    }
}
