//! The message that carries keys from a sender to its receiver.
//!
//! ```text
//! 0   0 | version 1 (3) | type 2 (4)      1  signature 0x2029       3  reserved (6) | even, odd (2)
//! 4   KEK index 0
//! 8   cipher 2 (AES-CTR)    9  authentication 0    10  encapsulation 2 (SRT)    11  reserved
//! 14  salt length / 4      15  key length / 4
//! 16  salt (16)
//! 32  the keys, even before odd, wrapped: 8 bytes longer than they are
//! ```

use std::fmt;

use crate::crypto::{KEY_MAX, KeyLength, SALT_LEN};
use crate::reject::RejectReason;

/// How much longer keys get by being wrapped.
pub(super) const WRAP_LEN: usize = 8;
/// Both keys, wrapped.
pub(super) const WRAPPED_MAX: usize = 2 * KEY_MAX + WRAP_LEN;

const VERSION_AND_TYPE: u8 = 0x12;
const SIGNATURE: [u8; 2] = [0x20, 0x29];
const CIPHER_AES_CTR: u8 = 2;
const CIPHER_AES_GCM: u8 = 4;
const AUTHENTICATION_NONE: u8 = 0;
const AUTHENTICATION_GCM: u8 = 1;
const ENCAPSULATION_SRT: u8 = 2;
const FLAGS_MASK: u8 = 3;
/// Where the salt starts.
const FIXED_LEN: usize = 16;
const SALT_END: usize = FIXED_LEN + SALT_LEN;

/// Why key material is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No key material of the form spoken here.
    #[error("malformed key material")]
    Malformed,
    /// It says nothing about a key.
    #[error("key material without a key")]
    Empty,
    /// Its keys are for AES-GCM.
    #[error("key material for another cipher mode")]
    OtherMode,
    /// Its keys were wrapped under another passphrase.
    #[error("key material under another passphrase")]
    BadSecret,
}

impl Error {
    /// What a libsrt listener with a passphrase and enforced encryption answers.
    ///
    /// libsrt has 1017 for another cipher mode when it is built with AES-GCM, and calls it malformed
    /// when it is not.
    pub const fn reject_reason(self) -> RejectReason {
        match self {
            Self::Malformed => RejectReason::UNSECURE,
            Self::Empty | Self::BadSecret => RejectReason::BAD_SECRET,
            Self::OtherMode => RejectReason::CRYPTO,
        }
    }
}

/// Which keys a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The even key.
    Even,
    /// The odd key.
    Odd,
    /// Both.
    Both,
}

impl Holds {
    const fn from_bits(bits: u8) -> Option<Self> {
        match bits & FLAGS_MASK {
            1 => Some(Self::Even),
            2 => Some(Self::Odd),
            3 => Some(Self::Both),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Even => 1,
            Self::Odd => 2,
            Self::Both => 3,
        }
    }

    const fn count(self) -> usize {
        match self {
            Self::Even | Self::Odd => 1,
            Self::Both => 2,
        }
    }
}

/// A message of one or two wrapped keys, checked in all but what takes the passphrase to check.
///
/// A receiver confirms it with the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    bytes: [u8; Self::LENGTH_MAX],
    holds: Holds,
    key_length: KeyLength,
}

impl KeyMaterial {
    /// The longest message: two keys of 256 bits.
    pub const LENGTH_MAX: usize = SALT_END + WRAPPED_MAX;

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// When it is not of the form spoken here. Reserved bits may be anything, as for libsrt.
    pub fn parse(message: &[u8]) -> Result<Self, Error> {
        let Some(fixed) = message
            .first_chunk::<FIXED_LEN>()
            .filter(|_| message.len() > FIXED_LEN)
        else {
            return Err(Error::Empty);
        };
        check_form(fixed)?;
        check_mode(fixed[8], fixed[9])?;
        let key_length =
            KeyLength::from_bytes(usize::from(fixed[15]) * 4).ok_or(match fixed[15] {
                0 => Error::Empty,
                _ => Error::Malformed,
            })?;
        let holds = Holds::from_bits(fixed[3]).ok_or(Error::Malformed)?;
        if message.len() != length(holds, key_length) {
            return Err(Error::Malformed);
        }
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[..message.len()].copy_from_slice(message);
        Ok(Self {
            bytes,
            holds,
            key_length,
        })
    }

    /// `wrapped` has the length of as many keys as `holds` says.
    pub(super) fn new(
        holds: Holds,
        salt: &[u8; SALT_LEN],
        key_length: KeyLength,
        wrapped: &[u8],
    ) -> Self {
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[0] = VERSION_AND_TYPE;
        bytes[1..3].copy_from_slice(&SIGNATURE);
        bytes[3] = holds.bits();
        bytes[8] = CIPHER_AES_CTR;
        bytes[9] = AUTHENTICATION_NONE;
        bytes[10] = ENCAPSULATION_SRT;
        bytes[14] = (SALT_LEN / 4) as u8;
        bytes[15] = (key_length.bytes() / 4) as u8;
        bytes[FIXED_LEN..SALT_END].copy_from_slice(salt);
        bytes[SALT_END..length(holds, key_length)].copy_from_slice(wrapped);
        Self {
            bytes,
            holds,
            key_length,
        }
    }

    /// The message as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..length(self.holds, self.key_length)]
    }

    /// Which keys it carries.
    pub const fn holds(&self) -> Holds {
        self.holds
    }

    /// How long they are.
    pub const fn key_length(&self) -> KeyLength {
        self.key_length
    }

    /// The salt, for the KEK and for the payloads.
    pub fn salt(&self) -> &[u8; SALT_LEN] {
        self.bytes[FIXED_LEN..]
            .first_chunk()
            .expect("a message has a salt")
    }

    /// What a handshake with this message says of encryption: the key length / 8.
    pub(crate) const fn encryption_field(&self) -> u16 {
        (self.key_length.bytes() / 8) as u16
    }

    pub(super) fn wrapped(&self) -> &[u8] {
        &self.as_bytes()[SALT_END..]
    }
}

/// No content: under a weak passphrase, wrapped keys can be searched for.
impl fmt::Debug for KeyMaterial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "KeyMaterial({:?}, {:?})",
            self.holds, self.key_length
        )
    }
}

fn check_form(fixed: &[u8; FIXED_LEN]) -> Result<(), Error> {
    let is_spoken = fixed[0] == VERSION_AND_TYPE
        && fixed[1..3] == SIGNATURE
        && fixed[4..8] == [0; 4]
        && fixed[10] == ENCAPSULATION_SRT
        && usize::from(fixed[14]) * 4 == SALT_LEN;
    if is_spoken {
        Ok(())
    } else {
        Err(Error::Malformed)
    }
}

const fn check_mode(cipher: u8, authentication: u8) -> Result<(), Error> {
    match (cipher, authentication) {
        (CIPHER_AES_CTR, AUTHENTICATION_NONE) => Ok(()),
        (CIPHER_AES_GCM, AUTHENTICATION_GCM) => Err(Error::OtherMode),
        _ => Err(Error::Malformed),
    }
}

const fn length(holds: Holds, key_length: KeyLength) -> usize {
    SALT_END + holds.count() * key_length.bytes() + WRAP_LEN
}
