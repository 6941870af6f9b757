//! Stream keys: the secrets that people paste into phones and players.

/// A stream key: 32 lower-case hexadecimal digits, 128 unguessable bits. Publish
/// and play keys of one stream differ. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StreamKey(Box<str>);

/// Why a text is not a stream key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a stream key: expected 32 lower-case hexadecimal digits")]
pub struct InvalidStreamKey;

impl StreamKey {
    /// How many characters a stream key has.
    pub const LENGTH: usize = 32;

    /// Makes a key from 128 bits of a secure source.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)).into())
    }

    /// Checks and takes a key.
    ///
    /// # Errors
    /// When the length or a character is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidStreamKey> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == Self::LENGTH && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidStreamKey)
        }
    }

    /// The key itself: a secret. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_digits_and_never_shown() {
        let key = StreamKey::from_bytes([1; 16]);
        assert_eq!(StreamKey::parse(key.expose()), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "StreamKey(..)");
        assert!(StreamKey::parse("").is_err());
        assert!(StreamKey::parse(&"G".repeat(32)).is_err());
    }
}
