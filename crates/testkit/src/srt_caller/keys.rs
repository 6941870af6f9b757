//! What a caller encrypts and decrypts with.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use srt::Seq;
use srt::crypto::{Kek, KeyLength, KeyMaterial, ReceiveKeys, RefreshAfter, Sek, SekPair, SendKeys};
use srt::packet::KeyParity;

/// How a caller encrypts.
#[derive(Debug, Clone)]
pub struct Secret {
    /// What the peer knows, too.
    pub passphrase: String,
    /// AES-128, -192 or -256.
    pub key_length: KeyLength,
    /// How often a publisher changes its keys.
    pub refresh: RefreshAfter,
}

/// The keys of both directions.
#[derive(Debug)]
pub(super) struct Keys {
    message: KeyMaterial,
    send: SendKeys,
    receive: ReceiveKeys,
}

impl Keys {
    /// New ones. They are good for tests only: somebody might guess them.
    pub(super) fn new(secret: &Secret) -> Self {
        let passphrase = secret.passphrase.as_bytes();
        let kek = Kek::derive(passphrase, random(), secret.key_length);
        let seks = SekPair {
            even: Some(Sek::new(secret.key_length, &random())),
            odd: None,
        };
        Self {
            message: kek.wrap(&seks),
            receive: ReceiveKeys::new(kek.clone(), &seks),
            send: SendKeys::new(kek, seks, secret.refresh),
        }
    }

    /// What the peer is told.
    pub(super) const fn message(&self) -> &KeyMaterial {
        &self.message
    }

    pub(super) fn encrypt(&mut self, seq: Seq, payload: &mut [u8]) -> KeyParity {
        self.send.encrypt(seq, payload).into()
    }

    /// Whether the payload could be read.
    pub(super) fn decrypt(&self, key: KeyParity, seq: Seq, payload: &mut [u8]) -> bool {
        self.receive.decrypt(key, seq, payload).is_ok()
    }

    /// Takes keys that the peer announces; whether they are to be confirmed.
    pub(super) fn handle_request(&mut self, message: &[u8]) -> bool {
        let message = KeyMaterial::parse(message);
        message.is_ok_and(|message| self.receive.accept(&message).is_ok())
    }

    /// Takes the peer's answer to ours.
    pub(super) fn handle_answer(&mut self, answer: &[u8]) {
        self.send.handle_answer(answer);
    }

    /// What is to be announced now.
    pub(super) fn poll_announcement(
        &mut self,
        now: Instant,
        round_trip: Duration,
    ) -> Option<KeyMaterial> {
        if self.send.wants_key().is_some() {
            self.send.announce(&random());
        }
        self.send.poll_announcement(now, round_trip).cloned()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let state = RandomState::new();
    std::array::from_fn(|place| state.hash_one(place) as u8)
}
