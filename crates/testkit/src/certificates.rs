//! A certificate authority of a test, and a server that it vouches for.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, Error, IsCa, KeyPair};
use tempfile::TempDir;

/// Files in PEM, as long as this lives: the authority's certificate, and a server's with
/// its key.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// A fresh authority, and a server of this name or address.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let [ca, cert, key] = signed(name).expect("a certificate for a name");
        let dir = tempfile::tempdir().expect("a directory for the files");
        for (file, text) in [("ca", ca), ("cert", cert), ("key", key)] {
            std::fs::write(dir.path().join(file), text).expect("a file in it");
        }
        Self { dir }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.file("ca")
    }

    /// The server's.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.file("cert")
    }

    /// The server's private key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.file("key")
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }
}

fn signed(name: &str) -> Result<[String; 3], Error> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let cert = CertificateParams::new([name.to_owned()])?.signed_by(&key, &authority)?;
    Ok([authority.pem(), cert.pem(), key.serialize_pem()])
}
