//! Secrets at rest: sealed with a key that is kept elsewhere.
//!
//! A sealed secret is one byte that names the format (1), a random nonce of 96 bits, and the
//! secret under ChaCha20-Poly1305 (RFC 8439). What it is for is authenticated with it, so that
//! one sealed secret cannot stand in for another.

use std::path::Path;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::ExposeSecret as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret;

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;

/// Why a secret cannot be sealed or had back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key's file cannot be read.
    #[error(transparent)]
    File(#[from] secret::Error),
    /// The file holds something else.
    #[error("{path}: not a sealing key: expected 64 hexadecimal digits")]
    NotAKey {
        /// The file.
        path: String,
    },
    /// The system gave no random bytes.
    #[error("no random bytes from the system")]
    Random,
    /// It was sealed with another key or for something else, or it is damaged.
    #[error("{what} cannot be unsealed: the sealing key is another one, or the data is damaged")]
    Unsealable {
        /// What it is for.
        what: String,
    },
}

/// Seals and unseals.
pub struct SealingKey(LessSafeKey);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingKey").finish_non_exhaustive()
    }
}

impl SealingKey {
    /// Reads the key from a file of 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = secret::read_file(path)?;
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.expose_secret(), &mut key).map_err(|_| Error::NotAKey {
            path: path.display().to_string(),
        })?;
        let taken = Self::new(&key);
        key.zeroize();
        Ok(taken)
    }

    /// Takes a key.
    ///
    /// # Panics
    /// Never: the length is right.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes are a key");
        Self(LessSafeKey::new(key))
    }

    /// Seals `secret` for `what`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, what: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| Error::Random)?;
        let mut sealed = secret.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(what.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| Error::Random)?;
        Ok([&[FORMAT][..], &nonce, &sealed].concat())
    }

    /// Gives back what was sealed for `what`.
    ///
    /// # Errors
    /// [`Error::Unsealable`].
    pub fn unseal(&self, what: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.open(what, sealed).ok_or_else(|| Error::Unsealable {
            what: what.to_owned(),
        })
    }

    fn open(&self, what: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = sealed.strip_prefix(&[FORMAT])?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut secret = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(what.as_bytes());
        let length = self.0.open_in_place(nonce, aad, &mut secret).ok()?.len();
        secret.truncate(length);
        Some(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back_to_the_same_key_and_purpose_only() {
        let (key, other) = (SealingKey::new(&[1; 32]), SealingKey::new(&[2; 32]));
        let sealed = key.seal("lease key k1", b"seed").unwrap();
        assert_eq!(**key.unseal("lease key k1", &sealed).unwrap(), *b"seed");
        assert!(other.unseal("lease key k1", &sealed).is_err());
        assert!(key.unseal("lease key k2", &sealed).is_err());
        assert_ne!(key.seal("lease key k1", b"seed").unwrap(), sealed);
    }

    #[test]
    fn damage_is_noticed() {
        let key = SealingKey::new(&[1; 32]);
        let sealed = key.seal("it", b"seed").unwrap();
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert!(key.unseal("it", &damaged).is_err(), "{place}");
            assert!(key.unseal("it", &sealed[..place]).is_err(), "{place}");
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing_key");
        std::fs::write(&path, "abc\n").unwrap();
        let error = SealingKey::read(&path).unwrap_err().to_string();
        assert!(error.contains("sealing_key: not a sealing key"), "{error}");
        std::fs::write(&path, format!("{}\n", "1f".repeat(32))).unwrap();
        SealingKey::read(&path).unwrap();
    }
}
