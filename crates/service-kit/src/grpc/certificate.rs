//! A listener's certificate, read again when its files change: who renews it (certbot and
//! the like) need not know who has it in use.
//!
//! What a connection was made with it keeps; the next one is shown the new certificate.
//! Files that are of no use, such as a certificate whose key has not been written yet,
//! change nothing.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use secrecy::ExposeSecret as _;
use tokio_rustls::TlsAcceptor;

use crate::secret;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// What gRPC speaks (RFC 7301).
const HTTP_2: &[u8] = b"h2";

/// Where a certificate and its key are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate with its key, as their files were when they were last of use.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What tells one state of a file from another; links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When they are no certificate in PEM and its key.
    pub(crate) fn read(files: Files) -> anyhow::Result<Self> {
        let current = RwLock::new(Arc::new(load(&files)?));
        Ok(Self { files, current })
    }

    /// Does the handshakes of those who connect, with whatever the certificate is then.
    ///
    /// # Errors
    /// When the provider cannot do TLS 1.2 and 1.3.
    pub(crate) fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(provider());
        let config = config.with_safe_default_protocol_versions()?;
        let resolver: Arc<Self> = Arc::clone(self);
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![HTTP_2.to_vec()];
        Ok(Arc::new(config).into())
    }

    /// Reads the files again whenever they change, for as long as it is polled.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut seen = versions(&self.files);
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            // Before they are read: what is written meanwhile is another state.
            let now = versions(&self.files);
            if now != seen {
                seen = now;
                self.read_again();
            }
        }
    }

    fn read_again(&self) {
        let path = self.files.cert.display();
        match load(&self.files) {
            Ok(fresh) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(fresh);
                tracing::info!(%path, "A new certificate is shown to those who connect");
            }
            Err(error) => tracing::error!(%path, error = format!("{error:#}"),
                "A changed certificate is of no use: the one before stays"),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Nothing where a file cannot be looked at: when it can be again, it has changed.
fn versions(files: &Files) -> [Option<Version>; 2] {
    [&files.cert, &files.key].map(|path| version(path).ok())
}

fn version(path: &Path) -> io::Result<Version> {
    let metadata = std::fs::metadata(path)?;
    Ok(Version {
        modified: metadata.modified()?,
        length: metadata.len(),
        inode: metadata.ino(),
    })
}

fn load(files: &Files) -> anyhow::Result<CertifiedKey> {
    let chain = chain(&files.cert).context("kit.grpc.cert_file")?;
    let key = secret::read_file(&files.key).context("kit.grpc.key_file")?;
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes());
    let key = key.with_context(|| format!("kit.grpc.key_file: {}", files.key.display()))?;
    let certified = CertifiedKey::from_der(chain, key, &provider());
    certified.context("kit.grpc: not a certificate and its key")
}

fn chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let shown = || path.display().to_string();
    let text = std::fs::read(path).with_context(shown)?;
    let chain = CertificateDer::pem_slice_iter(&text);
    let chain = chain.collect::<Result<Vec<_>, _>>().with_context(shown)?;
    if chain.is_empty() {
        bail!("{}: no certificate in PEM", path.display());
    }
    Ok(chain)
}
