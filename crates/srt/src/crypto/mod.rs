//! Encryption (draft-sharabayko-srt-01 section 6): who has the passphrase can read the payloads.
//!
//! ```text
//! passphrase ─┬─ PBKDF2 ──▶ KEK ─── unwraps ──▶ SEK (even, odd) ─── AES-CTR ──▶ payloads
//!       salt ─┘                                      ▲                  ▲
//!         └────────────── key material message ──────┘                  sequence number, salt
//! ```
//!
//! The sender of a [`KeyMaterial`] message makes the keys that encrypt payloads (SEK), the passphrase
//! only protects them on the way (KEK). In a handshake the caller's keys serve both directions. A
//! sender changes its key now and then: it announces the next one, of the other [`Parity`], in a
//! control packet of its own, and each data packet says which of the two encrypts it. [`SendKeys`]
//! does so, [`ReceiveKeys`] follows a sender that does.
//!
//! Deriving a [`Kek`] takes about a millisecond on purpose; all else here takes microseconds, and
//! nothing allocates per packet. Ciphers are AES-CTR with 128, 192 and 256 bits; AES-GCM is refused.
//! CTR keeps a secret and proves nothing: a changed payload decrypts to a changed payload.

mod cipher;
mod kek;
mod key_material;
mod receive;
mod send;

pub use cipher::PayloadCipher;
pub use kek::{Kek, Sek, SekPair};
pub use key_material::{Error, Holds, KeyMaterial};
pub use receive::{NoKey, ReceiveKeys};
pub use send::{RefreshAfter, SendKeys};

use crate::packet::KeyParity;

/// The length of a salt, in bytes.
pub const SALT_LEN: usize = 16;
/// The longest key, in bytes.
pub const KEY_MAX: usize = 32;

/// How long keys are: both the KEK and what it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLength {
    /// AES-128.
    Bits128,
    /// AES-192.
    Bits192,
    /// AES-256.
    Bits256,
}

impl KeyLength {
    /// The length in bytes: 16, 24 or 32.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits192 => 24,
            Self::Bits256 => 32,
        }
    }

    /// The key length of so many bytes, when there is one.
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Bits128),
            24 => Some(Self::Bits192),
            32 => Some(Self::Bits256),
            _ => None,
        }
    }
}

/// Which of a sender's two keys: it uses one while it announces the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// The even key, a connection's first.
    Even,
    /// The odd key.
    Odd,
}

impl Parity {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl From<Parity> for KeyParity {
    fn from(parity: Parity) -> Self {
        match parity {
            Parity::Even => Self::Even,
            Parity::Odd => Self::Odd,
        }
    }
}
