//! Stream keys and passphrases: derived from the slot and one secret, so that nothing
//! is at rest.

use hmac::{Hmac, KeyInit, Mac};
use model::session::Role;
use model::{Passphrase, StreamId, StreamKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use storage::control::sessions::Record;

/// Derives stream keys and passphrases.
pub(crate) struct KeyDeriver(SecretString);

impl KeyDeriver {
    pub(crate) const fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// The key of one role of one generation of a slot.
    pub(crate) fn derive(&self, role: Role, stream: &StreamId, generation: u32) -> StreamKey {
        StreamKey::from_bytes(self.bits(&format!("{role}:{stream}:{generation}")))
    }

    /// What the callers of one role encrypt with; a new generation has another.
    pub(crate) fn passphrase(&self, role: Role, stream: &StreamId, generation: u32) -> Passphrase {
        Passphrase::from_bytes(self.bits(&format!("passphrase:{role}:{stream}:{generation}")))
    }

    /// What the callers of a session's role encrypt with, if its owner lets them.
    pub(crate) fn passphrase_of(&self, role: Role, record: &Record) -> Option<Passphrase> {
        let encryption = record.settings.encryption?;
        let stream = &record.session.stream_id;
        encryption
            .has_passphrase()
            .then(|| self.passphrase(role, stream, record.generation))
    }

    /// 128 bits of one purpose: no two purposes have the same name.
    pub(crate) fn bits(&self, name: &str) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes())
            .expect("HMAC takes a secret of any length");
        mac.update(name.as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_key_has_128_bits_and_one_purpose() {
        let (keys, stream) = (KeyDeriver::new("a".into()), StreamId::from_u128(1));
        let key = |role| keys.derive(role, &stream, 1).expose().to_owned();
        assert_eq!(key(Role::Publish).len() * 4, 128);
        assert_ne!(key(Role::Publish), key(Role::Play));
    }

    #[test]
    fn keys_differ_by_role_stream_generation_and_secret() {
        let keys = KeyDeriver::new("one".into());
        let stream = StreamId::from_u128(1);
        let key = keys.derive(Role::Publish, &stream, 1);
        assert_eq!(key, keys.derive(Role::Publish, &stream, 1));
        assert_ne!(key, keys.derive(Role::Play, &stream, 1));
        assert_ne!(key, keys.derive(Role::Publish, &StreamId::from_u128(2), 1));
        assert_ne!(key, keys.derive(Role::Publish, &stream, 2));
        assert_ne!(
            key,
            KeyDeriver::new("two".into()).derive(Role::Publish, &stream, 1)
        );
    }

    #[test]
    fn passphrases_differ_likewise_and_are_no_keys() {
        let keys = KeyDeriver::new("one".into());
        let stream = StreamId::from_u128(1);
        let passphrase = keys.passphrase(Role::Publish, &stream, 1);
        assert_eq!(passphrase, keys.passphrase(Role::Publish, &stream, 1));
        for other in [
            keys.passphrase(Role::Play, &stream, 1),
            keys.passphrase(Role::Publish, &StreamId::from_u128(2), 1),
            keys.passphrase(Role::Publish, &stream, 2),
            KeyDeriver::new("two".into()).passphrase(Role::Publish, &stream, 1),
        ] {
            assert_ne!(passphrase, other);
        }
        let key = keys.derive(Role::Publish, &stream, 1);
        assert_ne!(passphrase.expose(), key.expose());
    }
}
