//! The key that protects keys, and the keys it protects.

use std::fmt;

use aes_kw::{KeyInit, KwAes128, KwAes192, KwAes256};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::crypto::key_material::{Error, Holds, KeyMaterial, WRAP_LEN, WRAPPED_MAX};
use crate::crypto::{KEY_MAX, KeyLength, Parity, SALT_LEN};

/// PBKDF2's rounds.
const ROUNDS: u32 = 2048;
/// PBKDF2 takes only the salt's last bytes.
const DERIVATION_SALT_LEN: usize = 8;

/// A key that encrypts keys, derived from a passphrase. Wiped when dropped.
#[derive(Clone)]
pub struct Kek {
    salt: [u8; SALT_LEN],
    key: Sek,
}

impl Kek {
    /// Derives the key with PBKDF2-HMAC-SHA1. It takes about a millisecond, which is its purpose: keep
    /// it away from a thread that forwards packets.
    pub fn derive(passphrase: &[u8], salt: [u8; SALT_LEN], length: KeyLength) -> Self {
        let mut key = Zeroizing::new([0; KEY_MAX]);
        let salt_end = &salt[SALT_LEN - DERIVATION_SALT_LEN..];
        pbkdf2::pbkdf2_hmac::<Sha1>(passphrase, salt_end, ROUNDS, &mut key[..length.bytes()]);
        Self {
            salt,
            key: Sek { length, bytes: key },
        }
    }

    /// Whether `message` was wrapped under the salt and key length of this key.
    pub fn fits(&self, message: &KeyMaterial) -> bool {
        self.salt == *message.salt() && self.length() == message.key_length()
    }

    /// The salt it was derived with.
    pub const fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// Its length, and that of the keys it protects.
    pub const fn length(&self) -> KeyLength {
        self.key.length
    }

    /// Takes the keys out of a message (RFC 3394).
    ///
    /// # Errors
    ///
    /// [`Error::BadSecret`] when they were wrapped with another key.
    pub fn unwrap(&self, message: &KeyMaterial) -> Result<SekPair, Error> {
        if !self.fits(message) {
            return Err(Error::BadSecret);
        }
        let mut room = Zeroizing::new([0; WRAPPED_MAX]);
        let (key, wrapped) = (self.key.as_bytes(), message.wrapped());
        let seks = match self.length() {
            KeyLength::Bits128 => wrapper::<KwAes128>(key).unwrap_key(wrapped, &mut room[..]),
            KeyLength::Bits192 => wrapper::<KwAes192>(key).unwrap_key(wrapped, &mut room[..]),
            KeyLength::Bits256 => wrapper::<KwAes256>(key).unwrap_key(wrapped, &mut room[..]),
        };
        let seks = seks.map_err(|_| Error::BadSecret)?;
        Ok(SekPair::split(message.holds(), self.length(), seks))
    }

    /// Makes the message that carries these keys.
    ///
    /// # Panics
    ///
    /// When there is none, or one is of another length than this key.
    pub fn wrap(&self, seks: &SekPair) -> KeyMaterial {
        let (plain, length) = seks.join();
        let mut room = [0; WRAPPED_MAX];
        let (key, plain) = (self.key.as_bytes(), &plain[..length]);
        let wrapped = match self.length() {
            KeyLength::Bits128 => wrapper::<KwAes128>(key).wrap_key(plain, &mut room),
            KeyLength::Bits192 => wrapper::<KwAes192>(key).wrap_key(plain, &mut room),
            KeyLength::Bits256 => wrapper::<KwAes256>(key).wrap_key(plain, &mut room),
        };
        let wrapped = wrapped.expect("one or two keys are whole half-blocks and fit");
        debug_assert_eq!(wrapped.len(), length + WRAP_LEN);
        let holds = seks.holds().expect("there is a key to wrap");
        KeyMaterial::new(holds, &self.salt, self.length(), wrapped)
    }
}

fn wrapper<K: KeyInit>(key: &[u8]) -> K {
    K::new_from_slice(key).expect("a key has the length it says")
}

impl fmt::Debug for Kek {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Kek({} bytes)", self.length().bytes())
    }
}

/// A key that encrypts payloads (a "stream encrypting key"). Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Sek {
    length: KeyLength,
    bytes: Zeroizing<[u8; KEY_MAX]>,
}

impl Sek {
    /// Takes the first `length` of `bytes`, which nobody must be able to guess.
    pub fn new(length: KeyLength, bytes: &[u8; KEY_MAX]) -> Self {
        Self::from_slice(length, &bytes[..length.bytes()])
    }

    fn from_slice(length: KeyLength, bytes: &[u8]) -> Self {
        let mut own = Zeroizing::new([0; KEY_MAX]);
        own[..length.bytes()].copy_from_slice(bytes);
        Self { length, bytes: own }
    }

    /// Its length.
    pub const fn length(&self) -> KeyLength {
        self.length
    }

    /// The key itself: a secret.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length.bytes()]
    }
}

impl fmt::Debug for Sek {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sek({} bytes)", self.length.bytes())
    }
}

/// The keys that a message carries: one or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SekPair {
    /// The even key.
    pub even: Option<Sek>,
    /// The odd key.
    pub odd: Option<Sek>,
}

impl SekPair {
    /// The key of this parity.
    pub const fn sek(&self, parity: Parity) -> Option<&Sek> {
        match parity {
            Parity::Even => self.even.as_ref(),
            Parity::Odd => self.odd.as_ref(),
        }
    }

    /// Replaces the key of this parity.
    pub fn set(&mut self, parity: Parity, sek: Sek) {
        match parity {
            Parity::Even => self.even = Some(sek),
            Parity::Odd => self.odd = Some(sek),
        }
    }

    /// Which keys there are; `None` when there is none.
    pub const fn holds(&self) -> Option<Holds> {
        match (&self.even, &self.odd) {
            (Some(_), Some(_)) => Some(Holds::Both),
            (Some(_), None) => Some(Holds::Even),
            (None, Some(_)) => Some(Holds::Odd),
            (None, None) => None,
        }
    }

    /// Of two keys in a message, the even one comes first.
    fn split(holds: Holds, length: KeyLength, bytes: &[u8]) -> Self {
        let (first, second) = bytes.split_at(length.bytes());
        let sek = |bytes| Some(Sek::from_slice(length, bytes));
        match holds {
            Holds::Even => Self {
                even: sek(first),
                odd: None,
            },
            Holds::Odd => Self {
                even: None,
                odd: sek(first),
            },
            Holds::Both => Self {
                even: sek(first),
                odd: sek(second),
            },
        }
    }

    fn join(&self) -> (Zeroizing<[u8; 2 * KEY_MAX]>, usize) {
        let mut bytes = Zeroizing::new([0; 2 * KEY_MAX]);
        let mut length = 0;
        for sek in [&self.even, &self.odd].into_iter().flatten() {
            bytes[length..length + sek.length.bytes()].copy_from_slice(sek.as_bytes());
            length += sek.length.bytes();
        }
        (bytes, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3394, section 4.1.
    #[test]
    fn rfc_3394_wraps_128_under_128() {
        let kek = Kek {
            salt: [0; SALT_LEN],
            key: Sek::from_slice(
                KeyLength::Bits128,
                &0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_be_bytes(),
            ),
        };
        let even = Sek::from_slice(
            KeyLength::Bits128,
            &0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes(),
        );
        let pair = SekPair {
            even: Some(even),
            odd: None,
        };
        let message = kek.wrap(&pair);
        let mut expected = 0x1fa6_8b0a_8112_b447_aef3_4bd8_fb5a_7b82_u128
            .to_be_bytes()
            .to_vec();
        expected.extend(0x9d3e_8623_71d2_cfe5_u64.to_be_bytes());
        assert_eq!(message.wrapped(), expected);
        assert_eq!(kek.unwrap(&message), Ok(pair));
    }

    #[test]
    fn debug_keeps_the_secrets() {
        let kek = Kek::derive(b"correct-horse-battery", [7; SALT_LEN], KeyLength::Bits256);
        assert_eq!(format!("{kek:?}"), "Kek(32 bytes)");
        let sek = Sek::new(KeyLength::Bits128, &[1; KEY_MAX]);
        assert_eq!(format!("{sek:?}"), "Sek(16 bytes)");
    }
}
