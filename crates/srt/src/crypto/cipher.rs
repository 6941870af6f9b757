//! AES-CTR over payloads.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit as _, KeyInit as _};
use aes::cipher::{StreamCipher as _, StreamCipherCoreWrapper};
use aes::{Aes128, Aes192, Aes256};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;

use crate::crypto::{KeyLength, SALT_LEN, Sek};
use crate::seq::Seq;

/// What of the salt goes into the counter; the last two bytes of that count blocks.
const NONCE_LEN: usize = 14;
/// Where in the counter the sequence number is mixed in.
const SEQ_AT: usize = 10;

/// Encrypts and decrypts payloads with one key; the two are the same operation.
///
/// Each packet has its own key stream, named by its sequence number: two payloads under the same
/// number and key would give each other away.
#[derive(Debug)]
pub struct PayloadCipher {
    aes: Aes,
    nonce: [u8; NONCE_LEN],
}

#[derive(Debug)]
enum Aes {
    Bits128(Aes128),
    Bits192(Aes192),
    Bits256(Aes256),
}

impl PayloadCipher {
    /// The cipher of a key that came with this salt.
    pub fn new(sek: &Sek, salt: &[u8; SALT_LEN]) -> Self {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&salt[..NONCE_LEN]);
        Self {
            aes: Aes::new(sek),
            nonce,
        }
    }

    /// Encrypts or decrypts the payload of packet `seq` where it lies.
    pub fn apply(&self, seq: Seq, payload: &mut [u8]) {
        let counter = self.counter(seq);
        match &self.aes {
            Aes::Bits128(aes) => apply(aes, counter, payload),
            Aes::Bits192(aes) => apply(aes, counter, payload),
            Aes::Bits256(aes) => apply(aes, counter, payload),
        }
    }

    /// The salt, and the sequence number mixed into it, before a block count of 16 bits.
    fn counter(&self, seq: Seq) -> [u8; 16] {
        let mut counter = [0; 16];
        counter[..NONCE_LEN].copy_from_slice(&self.nonce);
        for (byte, mixed) in counter[SEQ_AT..].iter_mut().zip(seq.value().to_be_bytes()) {
            *byte ^= mixed;
        }
        counter
    }
}

impl Aes {
    fn new(sek: &Sek) -> Self {
        const LENGTH: &str = "a key has the length it says";
        let key = sek.as_bytes();
        match sek.length() {
            KeyLength::Bits128 => Self::Bits128(Aes128::new_from_slice(key).expect(LENGTH)),
            KeyLength::Bits192 => Self::Bits192(Aes192::new_from_slice(key).expect(LENGTH)),
            KeyLength::Bits256 => Self::Bits256(Aes256::new_from_slice(key).expect(LENGTH)),
        }
    }
}

/// A payload has at most 91 blocks: the count never reaches the sequence number.
fn apply<A>(aes: &A, counter: [u8; 16], payload: &mut [u8])
where
    A: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let core = CtrCore::<&A, Ctr32BE>::inner_iv_init(aes, &counter.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(payload);
}
