//! What one caller may ask for, and whom we believe about callers.

use std::path::{Path, PathBuf};

use anyhow::Context;
use http::HeaderValue;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::rate_limits::RateLimitsConfig;

/// This machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// Where requests by way of Cloudflare come from, as of this version.
const CLOUDFLARE: &str = include_str!("../../data/cloudflare_ranges.txt");

/// What one caller may ask for, and whom we believe about callers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The largest request body.
    pub body_bytes_max: usize,
    /// The longest a request may take.
    pub timeout_seconds: u32,
    /// Requests at the same time; more are turned away.
    pub requests_max: usize,
    /// And from one network (a /24 of IPv4, a /48 of IPv6), a proxy's own apart.
    pub requests_each_max: usize,
    /// Live views at the same time; more are turned away.
    pub live_streams_max: usize,
    /// And of one user.
    pub live_streams_each_max: usize,
    /// Connections at the same time; more are closed.
    pub connections_max: usize,
    /// And from one network, a proxy's apart.
    pub connections_each_max: usize,
    /// How long a request's head may take, and a connection idle. A proxy's may idle for
    /// two minutes.
    pub head_timeout_seconds: u32,
    /// Proxies in front of us whose `X-Forwarded-For` is believed: networks, and
    /// `cloudflare` for Cloudflare's. Whoever reaches us from one of them can choose the
    /// address that limits go by.
    pub trusted_proxies: Vec<Proxies>,
    /// A file with Cloudflare's networks, one a line, newer than the ones built in.
    pub cloudflare_ranges_file: Option<PathBuf>,
    /// Origins whose pages may use the API with a token, such as
    /// `https://tools.example`. None of them is sent or may send our cookies.
    pub cors_origins: Vec<String>,
    /// How often one principal may ask.
    pub rate_limits: RateLimitsConfig,
}

/// Proxies that are trusted together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Proxies {
    /// All of a network.
    Network(IpNet),
    /// Cloudflare's edge.
    Cloudflare,
}

impl TryFrom<String> for Proxies {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "cloudflare" {
            return Ok(Self::Cloudflare);
        }
        let network = text.parse().map(Self::Network);
        network.map_err(|_| format!("{text}: not a network such as 10.0.0.0/8, nor cloudflare"))
    }
}

impl From<Proxies> for String {
    fn from(proxies: Proxies) -> Self {
        match proxies {
            Proxies::Network(network) => network.to_string(),
            Proxies::Cloudflare => "cloudflare".to_owned(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        let network = |it: &str| Proxies::Network(it.parse().expect("it is a network"));
        Self {
            body_bytes_max: 64 * 1024,
            timeout_seconds: 15,
            requests_max: 512,
            requests_each_max: 64,
            live_streams_max: 512,
            live_streams_each_max: 16,
            connections_max: 8192,
            connections_each_max: 256,
            head_timeout_seconds: 15,
            trusted_proxies: LOOPBACK.map(network).to_vec(),
            cloudflare_ranges_file: None,
            cors_origins: Vec::new(),
            rate_limits: RateLimitsConfig::default(),
        }
    }
}

impl HttpConfig {
    /// The networks of every proxy that is believed.
    pub(crate) fn proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        let mut networks = Vec::new();
        for proxies in &self.trusted_proxies {
            match proxies {
                Proxies::Network(network) => networks.push(*network),
                Proxies::Cloudflare => networks.extend(self.cloudflare()?),
            }
        }
        Ok(networks)
    }

    fn cloudflare(&self) -> anyhow::Result<Vec<IpNet>> {
        let Some(path) = &self.cloudflare_ranges_file else {
            return parse_ranges(CLOUDFLARE);
        };
        read_ranges(path)
            .with_context(|| format!("http.cloudflare_ranges_file: {}", path.display()))
    }

    /// The origins of [`Self::cors_origins`], as browsers send them.
    pub(crate) fn origins(&self) -> Result<Vec<HeaderValue>, String> {
        self.cors_origins.iter().map(|text| origin(text)).collect()
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        self.origins()?;
        self.rate_limits.validate()
    }
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong =
        || format!("http.cors_origins: {text}: not an origin such as https://tools.example");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    // A browser sends it in lower case and without a slash at the end.
    let is_plain = !text.ends_with('/') && uri.path() == "/" && uri.query().is_none();
    if !is_web || !is_plain || text.contains('@') || text.to_lowercase() != text {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}

fn read_ranges(path: &Path) -> anyhow::Result<Vec<IpNet>> {
    let ranges = parse_ranges(&std::fs::read_to_string(path)?)?;
    anyhow::ensure!(!ranges.is_empty(), "no network is in it");
    Ok(ranges)
}

fn parse_ranges(text: &str) -> anyhow::Result<Vec<IpNet>> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let networks = lines.filter(|line| !line.is_empty());
    networks
        .map(|line| {
            line.parse()
                .with_context(|| format!("{line}: not a network"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudflare_is_a_set_of_networks_that_a_file_replaces() {
        let mut config = HttpConfig {
            trusted_proxies: ["10.0.0.0/8", "cloudflare"]
                .map(|it| Proxies::try_from(it.to_owned()).unwrap())
                .to_vec(),
            ..HttpConfig::default()
        };
        let is_trusted = |config: &HttpConfig, address: &str| {
            let address: std::net::IpAddr = address.parse().unwrap();
            let networks = config.proxies().unwrap();
            networks.iter().any(|network| network.contains(&address))
        };
        for address in ["10.1.2.3", "104.16.0.1", "2606:4700::1"] {
            assert!(is_trusted(&config, address), "{address}");
        }
        assert!(!is_trusted(&config, "203.0.113.7"));

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ranges");
        std::fs::write(&file, "# newer\n203.0.113.0/24 # a new one\n\n").unwrap();
        config.cloudflare_ranges_file = Some(file.clone());
        assert!(is_trusted(&config, "203.0.113.7"));
        assert!(!is_trusted(&config, "104.16.0.1"));
        for wrong in ["", "nonsense\n"] {
            std::fs::write(&file, wrong).unwrap();
            let error = format!("{:#}", config.proxies().unwrap_err());
            assert!(error.contains("cloudflare_ranges_file"), "{error}");
        }
        assert!(Proxies::try_from("cloudfare".to_owned()).is_err());
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for right in ["https://tools.example", "http://localhost:3000"] {
            assert!(origin(right).is_ok(), "{right}");
        }
        for wrong in [
            "*",
            "null",
            "tools.example",
            "https://tools.example/",
            "https://tools.example/page",
            "https://Tools.example",
            "https://user@tools.example",
            "ftp://tools.example",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
