//! Who can read along: TLS on both sides of gRPC, and where there need be none.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Server};

use crate::grpc::{CertificateFiles, Connections, Incoming};

/// How long either side waits for the other's part of a handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls at the same time on one connection: a node has one, a service a few.
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// The largest head of a call, in bytes: it has a token and a few lines more.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// Names that no public resolver answers (RFC 6761, RFC 6762, RFC 8375 and what
/// Kubernetes and cloud providers use inside).
const PRIVATE_NAMES: [&str; 6] = [
    ".localhost",
    ".local",
    ".internal",
    ".home.arpa",
    ".svc",
    ".svc.cluster.local",
];

/// How a service is reached by gRPC, and how it reaches others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Our certificate, and those between it and its root; PEM. None: no TLS, as loopback
    /// and private networks need none. A relay node serves no gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its private key; PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Who signs the certificates of others, instead of the roots that browsers trust; PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Sends tokens without TLS to whatever host. For networks on which nobody else is.
    pub insecure: bool,
    /// How many connections our listener takes.
    pub connections: Connections,
}

impl GrpcConfig {
    /// Checks that a certificate comes with its key, and that somebody can connect.
    ///
    /// # Errors
    /// The setting that is wrong.
    pub fn validate(&self) -> Result<(), String> {
        self.connections.validate()?;
        if self.cert_file.is_some() == self.key_file.is_some() {
            return Ok(());
        }
        Err("kit.grpc: set cert_file and key_file, or neither".to_owned())
    }

    /// A server of gRPC; its connections come from [`Self::incoming`].
    #[must_use]
    pub fn server(&self) -> Server {
        Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .http2_max_header_list_size(HEAD_BYTES_MAX)
    }

    /// The connections of a listener, as many as may be; by TLS, if that is set up. A
    /// certificate that is renewed is shown to those who connect from then on.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn incoming(&self, listener: TcpListener) -> anyhow::Result<Incoming> {
        self.validate().map_err(anyhow::Error::msg)?;
        let files = self.cert_file.as_ref().zip(self.key_file.as_ref());
        let files = files.map(|(cert, key)| CertificateFiles {
            cert: cert.clone(),
            key: key.clone(),
        });
        Incoming::new(listener, &self.connections, files)
    }

    /// Checks that a token may be sent to a service's address.
    ///
    /// # Errors
    /// Why not, beginning with `setting`, where the address comes from.
    pub fn check(&self, setting: &str, url: &str) -> Result<(), String> {
        let uri = url.parse::<Uri>().ok();
        let parts = uri
            .as_ref()
            .and_then(|uri| uri.scheme_str().zip(uri.host()));
        match parts {
            Some(("https", _)) => Ok(()),
            Some(("http", host)) if self.insecure || is_private(host) => Ok(()),
            Some(("http", host)) => Err(format!(
                "{setting}: whoever is between us and {host} would read our tokens: use \
                 https://, or where nobody is set kit.grpc.insecure (--insecure)"
            )),
            _ => Err(format!(
                "{setting} must be https://host:port or http://host:port, not `{url}`"
            )),
        }
    }

    /// A service's address, with TLS where it says so.
    ///
    /// # Errors
    /// Those of [`Self::check`], and when the certificates cannot be read.
    pub fn endpoint(&self, setting: &str, url: &str) -> anyhow::Result<Endpoint> {
        self.check(setting, url).map_err(anyhow::Error::msg)?;
        let endpoint = Endpoint::from_shared(url.to_owned());
        let endpoint = endpoint.with_context(|| format!("{setting}: {url}"))?;
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let tls = ClientTlsConfig::new().timeout(HANDSHAKE_TIMEOUT);
        let tls = match &self.ca_file {
            None => tls.with_webpki_roots(),
            Some(path) => {
                tls.ca_certificate(Certificate::from_pem(read("kit.grpc.ca_file", path)?))
            }
        };
        let endpoint = endpoint.tls_config(tls);
        endpoint.with_context(|| format!("{setting}: {url}: kit.grpc.ca_file"))
    }
}

fn read(setting: &'static str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("{setting}: {}", path.display()))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        bail!("{setting}: {}: no certificate in PEM", path.display());
    }
    Ok(text)
}

/// Whether a host is on this machine or in a network of our own: by its address, or by a
/// name that only a resolver of our own knows, such as a container's.
fn is_private(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_private_address(address);
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.') || PRIVATE_NAMES.iter().any(|suffix| name.ends_with(suffix))
}

/// Whether an address is this machine's, or in a network of our own.
#[must_use]
pub const fn is_private_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || is_shared(v4)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
        }
    }
}

/// 100.64.0.0/10 (RFC 6598), where overlay networks such as Tailscale's have their addresses.
const fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0b1100_0000 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_in_the_clear_to_our_own_machines_only() {
        let client = GrpcConfig::default();
        for own in [
            "127.0.0.1",
            "[::1]",
            "localhost",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.1.1",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "api",
            "api.internal",
            "API.default.SVC.cluster.local.",
        ] {
            let url = format!("http://{own}:7001");
            assert_eq!(client.check("api_grpc", &url), Ok(()), "{own}");
        }
        for public in [
            "203.0.113.7",
            "172.32.0.1",
            "100.128.0.1",
            "100.63.255.255",
            "[2001:db8::1]",
            "[::ffff:203.0.113.7]",
            "relay.example",
            "10.0.0.1.example",
            "localhost.example.",
            "127.0.0.1.nip.io",
        ] {
            let plain = format!("http://{public}:7001");
            let refused = client.check("api_grpc", &plain).unwrap_err();
            assert!(refused.starts_with("api_grpc: "), "{refused}");
            assert!(refused.contains("https://"), "{refused}");
            let secret = format!("https://{public}:7001");
            assert_eq!(client.check("api_grpc", &secret), Ok(()));
            let insecure = GrpcConfig {
                insecure: true,
                ..GrpcConfig::default()
            };
            assert_eq!(insecure.check("api_grpc", &plain), Ok(()));
        }
        for wrong in ["api:7001", "ftp://api:7001", "http://", "https://", ""] {
            let refused = client.check("api_grpc", wrong).unwrap_err();
            assert!(refused.starts_with("api_grpc must be"), "{refused}");
        }
    }

    #[test]
    fn half_of_a_certificate_and_its_key_is_refused() {
        let half = GrpcConfig {
            cert_file: Some("/nowhere".into()),
            ..GrpcConfig::default()
        };
        let refused = half.validate().unwrap_err();
        assert!(refused.starts_with("kit.grpc: "), "{refused}");
    }
}
