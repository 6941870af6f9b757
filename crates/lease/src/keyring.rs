//! The keys: one that signs, and the set of those that a node believes.

use ed25519_dalek::VerifyingKey;

/// The most keys a set holds: current, next, and some overlap.
pub const KEYS_MAX: usize = 8;

/// A key's name: 1 to 16 of `[0-9A-Za-z_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(Box<str>);

/// Why key material was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Its name is empty, too long or has another character.
    #[error("not a key id: expected 1 to 16 of [0-9A-Za-z_-]")]
    Kid,
    /// It is not an Ed25519 public key, or one that anyone can sign for.
    #[error("not an acceptable Ed25519 public key")]
    PublicKey,
    /// Two keys of one set have the same name.
    #[error("two keys have the same id")]
    Duplicate,
    /// The set has more than [`KEYS_MAX`] keys.
    #[error("more than {KEYS_MAX} keys in a set")]
    TooMany,
}

impl Kid {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, longer than 16 or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=16).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKey::Kid)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Kid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The control plane's private key. Forgotten memory is wiped; `Debug` shows
/// the name only.
#[derive(Clone)]
pub struct SigningKey {
    kid: Kid,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// Makes the key of a 32-byte secret seed. Its name is taken from the
    /// public key, so that the same seed has the same name everywhere.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let kid = Kid(kid_of(key.verifying_key().as_bytes()).into());
        Self { kid, key }
    }

    /// Its name.
    #[must_use]
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The public half, 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    pub(crate) const fn secret(&self) -> &ed25519_dalek::SigningKey {
        &self.key
    }
}

/// The first six bytes in hexadecimal.
fn kid_of(public_key: &[u8; 32]) -> String {
    public_key[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid.as_str())
            .finish_non_exhaustive()
    }
}

/// The public keys that leases are believed from: the current one and the next,
/// so that keys rotate with overlap. An empty set believes nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<(Kid, VerifyingKey)>,
}

impl KeySet {
    /// Checks and takes a set of named public keys.
    ///
    /// # Errors
    /// When a key is not acceptable, named twice, or there are too many.
    pub fn new(keys: impl IntoIterator<Item = (Kid, [u8; 32])>) -> Result<Self, InvalidKey> {
        let mut set = Self::default();
        for (kid, public_key) in keys {
            set.add(kid, &public_key)?;
        }
        Ok(set)
    }

    /// The public halves of signing keys.
    ///
    /// # Errors
    /// When a key is named twice or there are too many.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Result<Self, InvalidKey> {
        Self::new(
            keys.into_iter()
                .map(|key| (key.kid.clone(), key.public_key())),
        )
    }

    fn add(&mut self, kid: Kid, public_key: &[u8; 32]) -> Result<(), InvalidKey> {
        let key = VerifyingKey::from_bytes(public_key).map_err(|_| InvalidKey::PublicKey)?;
        if key.is_weak() {
            return Err(InvalidKey::PublicKey);
        }
        if self.contains(&kid) {
            return Err(InvalidKey::Duplicate);
        }
        if self.keys.len() == KEYS_MAX {
            return Err(InvalidKey::TooMany);
        }
        self.keys.push((kid, key));
        Ok(())
    }

    pub(crate) fn named(&self, kid: &str) -> Option<(&Kid, &VerifyingKey)> {
        let mut keys = self.keys.iter();
        let (name, key) = keys.find(|(name, _)| name.as_str() == kid)?;
        Some((name, key))
    }

    /// Whether a key of this name is in it.
    #[must_use]
    pub fn contains(&self, kid: &Kid) -> bool {
        self.named(kid.as_str()).is_some()
    }

    /// Every key with its name, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&Kid, [u8; 32])> {
        self.keys.iter().map(|(kid, key)| (kid, key.to_bytes()))
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody is believed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
