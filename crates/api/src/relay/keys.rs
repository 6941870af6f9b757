//! Stream keys: derived from the slot and one secret, so that nothing is at rest.

use hmac::{Hmac, KeyInit, Mac};
use model::session::Role;
use model::{StreamId, StreamKey};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Derives stream keys.
pub(crate) struct KeyDeriver(SecretString);

impl KeyDeriver {
    pub(crate) const fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// The key of one role of one generation of a slot.
    pub(crate) fn derive(&self, role: Role, stream: &StreamId, generation: u32) -> StreamKey {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes())
            .expect("HMAC takes a secret of any length");
        mac.update(format!("{role}:{stream}:{generation}").as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        StreamKey::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
