//! The keys and tokens of an instance: made at the first start, kept for good.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there but cannot be read.
    #[error(transparent)]
    Read(#[from] service_kit::secret::Error),
    /// The system gave no random bytes.
    #[error("no random bytes from the system: {0}")]
    Random(getrandom::Error),
}

/// The files that hold an instance's secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    dir: PathBuf,
}

impl Secrets {
    /// The ones in `dir`, made or not.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Makes the missing ones in `dir`, each readable by its user only.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn ensure(dir: &Path) -> Result<Self, Error> {
        let secrets = Self::at(dir);
        ensure(&secrets.admin_token(), "sh_admin_")?;
        ensure(&secrets.service_token(), "sh_svc_")?;
        ensure(&secrets.sealing_key(), "")?;
        ensure(&secrets.stream_key_secret(), "")?;
        ensure(&secrets.app_sealing_key(), "")?;
        Ok(secrets)
    }

    /// The first administrator's token.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.dir.join("admin_token")
    }

    /// What the services know each other by.
    #[must_use]
    pub fn service_token(&self) -> PathBuf {
        self.dir.join("service_token")
    }

    /// What secrets in the database are sealed with.
    #[must_use]
    pub fn sealing_key(&self) -> PathBuf {
        self.dir.join("sealing_key")
    }

    /// What stream keys are derived from.
    #[must_use]
    pub fn stream_key_secret(&self) -> PathBuf {
        self.dir.join("stream_key_secret")
    }

    /// What apps' secrets in the database are sealed with.
    #[must_use]
    pub fn app_sealing_key(&self) -> PathBuf {
        self.dir.join("app_sealing_key")
    }

    /// What reads backups that are made without further settings.
    #[must_use]
    pub fn backup_key(&self) -> PathBuf {
        self.dir.join("backup_key")
    }

    /// Reads the administrator's token.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read_admin_token(&self) -> Result<SecretString, Error> {
        Ok(service_kit::secret::read_file(self.admin_token())?)
    }
}

/// 256 random bits as hexadecimal digits.
///
/// # Errors
/// When the system gives none.
pub fn random_hex() -> Result<String, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(hex::encode(bytes))
}

fn ensure(path: &Path, prefix: &str) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let text = format!("{prefix}{}\n", random_hex()?);
    write_private(path, text.as_bytes()).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// Replaces a file by one that only its user can read; a crash leaves the old or
/// the new one whole.
///
/// # Errors
/// Those of the system.
pub fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let token = |secrets: &Secrets| {
            secrets
                .read_admin_token()
                .unwrap()
                .expose_secret()
                .to_owned()
        };
        let first = token(&Secrets::ensure(dir.path()).unwrap());
        let second = Secrets::ensure(dir.path()).unwrap();
        assert_eq!(first, token(&second));
        assert_eq!(first.len(), "sh_admin_".len() + 64);
        for path in [
            second.admin_token(),
            second.service_token(),
            second.sealing_key(),
            second.stream_key_secret(),
            second.app_sealing_key(),
        ] {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        let key = std::fs::read_to_string(second.sealing_key()).unwrap();
        assert_eq!(hex::decode(key.trim()).unwrap().len(), 32);
    }
}
