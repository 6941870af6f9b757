//! Passphrases: the secrets that SRT's encryption keys are derived from.

/// An SRT passphrase, as libsrt's `SRTO_PASSPHRASE` takes it: 10 to 80 bytes. A
/// stream's publisher and its players have different ones. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Passphrase(Box<str>);

/// Why a text is not a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a passphrase: expected 10 to 80 bytes without NUL")]
pub struct InvalidPassphrase;

impl Passphrase {
    /// The fewest bytes that libsrt takes.
    pub const LENGTH_MIN: usize = 10;

    /// The most bytes that libsrt takes (`HAICRYPT_SECRET_MAX_SZ`; its
    /// documentation says 79).
    pub const LENGTH_MAX: usize = 80;

    /// Makes a passphrase of 32 lower-case hexadecimal digits from 128 bits of a
    /// secure source. It stands in a URL as it is.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)).into())
    }

    /// Checks and takes a passphrase. NUL is refused because players hand it on
    /// as a C string.
    ///
    /// # Errors
    /// When it is too short, too long or contains NUL.
    pub fn parse(text: &str) -> Result<Self, InvalidPassphrase> {
        let fits = (Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&text.len());
        if fits && !text.contains('\0') {
            Ok(Self(text.into()))
        } else {
            Err(InvalidPassphrase)
        }
    }

    /// The passphrase itself: a secret. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_libsrts() {
        for length in [10, 79, 80] {
            assert!(Passphrase::parse(&"p".repeat(length)).is_ok(), "{length}");
        }
        for length in [0, 1, 9, 81] {
            assert!(Passphrase::parse(&"p".repeat(length)).is_err(), "{length}");
        }
        assert!(Passphrase::parse("0123456789\0").is_err());
    }

    #[test]
    fn a_passphrase_is_bytes_and_never_shown() {
        // Five characters of two bytes.
        let passphrase = Passphrase::parse("ééééé").unwrap();
        assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
        let made = Passphrase::from_bytes([0xab; 16]);
        assert_eq!(made.expose(), "ab".repeat(16));
        assert_eq!(Passphrase::parse(made.expose()), Ok(made));
    }
}
