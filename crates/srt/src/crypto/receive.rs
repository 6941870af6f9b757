//! The keys of a receiver.

use crate::crypto::{Error, Kek, KeyMaterial, Parity, PayloadCipher, SekPair};
use crate::packet::KeyParity;
use crate::seq::Seq;

/// The payload's key has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key for this payload")]
pub struct NoKey;

/// What a receiver decrypts with: the last even and the last odd key that its peer announced.
#[derive(Debug)]
pub struct ReceiveKeys {
    kek: Kek,
    ciphers: [Option<PayloadCipher>; 2],
}

impl ReceiveKeys {
    /// Starts with the keys of the handshake, unwrapped with `kek`.
    pub fn new(kek: Kek, seks: &SekPair) -> Self {
        let mut keys = Self {
            kek,
            ciphers: [None, None],
        };
        keys.install(seks);
        keys
    }

    /// Whether [`accept`](Self::accept) can take this message; if not, the peer has chosen a new salt
    /// or key length, and a [`Kek`] has to be derived for [`replace`](Self::replace).
    pub fn fits(&self, message: &KeyMaterial) -> bool {
        self.kek.fits(message)
    }

    /// Takes keys that the peer announced. The answer to a message that is taken is its echo.
    ///
    /// # Errors
    ///
    /// When they cannot be unwrapped; the keys so far stay.
    pub fn accept(&mut self, message: &KeyMaterial) -> Result<(), Error> {
        let seks = self.kek.unwrap(message)?;
        self.install(&seks);
        Ok(())
    }

    /// Takes keys that came under another salt or key length, unwrapped with `kek`.
    pub fn replace(&mut self, kek: Kek, seks: &SekPair) {
        self.kek = kek;
        self.install(seks);
    }

    fn install(&mut self, seks: &SekPair) {
        for parity in [Parity::Even, Parity::Odd] {
            if let Some(sek) = seks.sek(parity) {
                self.ciphers[parity.index()] = Some(PayloadCipher::new(sek, self.kek.salt()));
            }
        }
    }

    /// Decrypts the payload of packet `seq` where it lies.
    ///
    /// # Errors
    ///
    /// When its key has not come, or it is not encrypted: a peer that encrypts sends nothing clear.
    pub fn decrypt(&self, key: KeyParity, seq: Seq, payload: &mut [u8]) -> Result<(), NoKey> {
        let parity = match key {
            KeyParity::Even => Parity::Even,
            KeyParity::Odd => Parity::Odd,
            KeyParity::Clear | KeyParity::Both => return Err(NoKey),
        };
        let cipher = self.ciphers[parity.index()].as_ref().ok_or(NoKey)?;
        cipher.apply(seq, payload);
        Ok(())
    }
}
