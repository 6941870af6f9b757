//! The keys of connections that we make.
//!
//! In SRT it is the caller who makes the keys, for both directions
//! (draft-sharabayko-srt-01 section 6.1.5): a key for the payloads and a salt, which
//! nobody can guess and which are new in each call. The remote finds the key in the
//! conclusion, wrapped with the passphrase, and says that it has it with the same
//! message; from then on either end changes the key that it sends with.

use std::net::SocketAddr;
use std::time::Instant;

use model::SessionId;
use srt::crypto::{KeyLength, Sek};

use crate::dials::State;
use crate::encryption::KeySource;
use crate::key_work::{FORGOTTEN_AFTER, KeyWorkDone, Purpose, Task};
use crate::relay::Relay;
use crate::remote::RemoteFailure;

impl Relay {
    /// Calls an address, first having the keys derived when the remote encrypts.
    pub(crate) fn call_with_keys(&mut self, now: Instant, key: u32, attempt: u64, to: SocketAddr) {
        let Some(dial) = self.dials.dial(key) else {
            return;
        };
        let Some(secret) = &dial.remote.secret else {
            return self.call(now, key, to, None);
        };
        let purpose = Purpose::Call(dial.session.clone(), attempt);
        let passphrase = secret.passphrase.clone();
        let task = new_key(&mut self.key_source, secret.key_length);
        match self.key_desk.ask(now, purpose, passphrase, task) {
            Ok(()) => {
                let state = State::Deriving { attempt, to };
                self.dials
                    .set_state(key, state, Some(now + FORGOTTEN_AFTER));
            }
            Err(_) => self.remote_failed(now, key, RemoteFailure::NoKeys),
        }
    }

    /// Takes the keys of an attempt, when it still waits for them.
    pub(crate) fn handle_call_keys(
        &mut self,
        now: Instant,
        session: &SessionId,
        attempt: u64,
        done: KeyWorkDone,
    ) {
        if let Some((key, to)) = self.dials.by_key_work(session, attempt)
            && let Ok(keys) = done.unwrapped
        {
            self.call(now, key, to, Some((done.message, keys)));
        }
    }
}

/// A key and a salt that nobody had before.
fn new_key(source: &mut KeySource, length: KeyLength) -> Task {
    let salt = source.make();
    Task::Wrap {
        salt: std::array::from_fn(|place| salt[place]),
        sek: Sek::new(length, &source.make()),
    }
}
