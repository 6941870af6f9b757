//! What a player's packets are encrypted with.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use srt::Seq;
use srt::crypto::{KeyMaterial, RefreshAfter, SendKeys};
use srt::packet::KeyParity;

use crate::key_work::Unwrapped;
use crate::secrets::Unshown;

/// The keys that a player brought, and those that follow.
#[derive(Debug)]
pub(crate) struct Sealer {
    keys: SendKeys,
    /// What the next keys are made from; no other player has the same.
    secret: Unshown<[u8; 32]>,
    made: u64,
}

impl Sealer {
    pub(crate) fn new(unwrapped: Unwrapped, refresh: RefreshAfter, secret: [u8; 32]) -> Self {
        Self {
            keys: SendKeys::new(unwrapped.kek, unwrapped.seks, refresh),
            secret: Unshown(secret),
            made: 0,
        }
    }

    /// Encrypts a payload; says with which key.
    pub(crate) fn seal(&mut self, seq: Seq, payload: &mut [u8]) -> KeyParity {
        self.keys.encrypt(seq, payload).into()
    }

    /// Key material that is to be sent now.
    pub(crate) fn poll_announcement(
        &mut self,
        now: Instant,
        round_trip: Duration,
    ) -> Option<&KeyMaterial> {
        if self.keys.wants_key().is_some() {
            let key = self.make_key();
            self.keys.announce(&key);
        }
        self.keys.poll_announcement(now, round_trip)
    }

    fn make_key(&mut self) -> [u8; 32] {
        self.made += 1;
        Sha256::new()
            .chain_update(self.secret.0)
            .chain_update(self.made.to_be_bytes())
            .finalize()
            .into()
    }

    /// Takes the player's answer to an announcement; whether it confirms it.
    pub(crate) fn handle_answer(&mut self, answer: &[u8]) -> bool {
        self.keys.handle_answer(answer)
    }
}
