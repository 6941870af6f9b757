//! Deriving keys from passphrases, away from the thread that forwards.
//!
//! It takes about a millisecond: time for a thousand packets. So a relay hands
//! it out ([`crate::Relay::poll_key_work`]), goes on, and gets it back
//! ([`crate::Relay::handle_key_work`]). What waits is bounded and not asked for
//! twice; work that does not come back is forgotten.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{Passphrase, SessionId};
use srt::crypto::{Error, Kek, KeyMaterial, SALT_LEN, Sek, SekPair};
use srt::listener::ConnectRequest;
use srt::{Seq, SocketId};

use crate::bonding::Origin;
use crate::connections::Caller;
use crate::reason::DropReason;

/// Work that may be out at once, as long as it takes to be forgotten.
const WAITING_MAX: usize = 64;
/// Callers give up sooner than that (libsrt's `SRTO_CONNTIMEO` is 3 s).
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// Keys to be unwrapped or wrapped with a passphrase: a pure computation for any
/// thread.
#[derive(Debug)]
pub struct KeyWork {
    number: u64,
    passphrase: Passphrase,
    task: Task,
}

/// What is to be done with a passphrase.
#[derive(Debug)]
pub(crate) enum Task {
    /// Take the keys out of a message.
    Unwrap(KeyMaterial),
    /// Make the message that carries this key.
    Wrap { salt: [u8; SALT_LEN], sek: Sek },
}

/// Key work that is done.
#[derive(Debug)]
pub struct KeyWorkDone {
    number: u64,
    pub(crate) passphrase: Passphrase,
    pub(crate) message: KeyMaterial,
    pub(crate) unwrapped: Result<Unwrapped, Error>,
}

/// The keys of a connection, and what the next ones will be wrapped with.
#[derive(Debug, Clone)]
pub(crate) struct Unwrapped {
    pub(crate) kek: Kek,
    pub(crate) seks: SekPair,
}

impl KeyWork {
    /// Does it. About a millisecond.
    #[must_use]
    pub fn run(self) -> KeyWorkDone {
        let Self {
            number,
            passphrase,
            task,
        } = self;
        let secret = passphrase.expose().as_bytes();
        let (message, unwrapped) = match task {
            Task::Unwrap(message) => {
                let kek = Kek::derive(secret, *message.salt(), message.key_length());
                let seks = kek.unwrap(&message);
                (message, seks.map(|seks| Unwrapped { kek, seks }))
            }
            Task::Wrap { salt, sek } => {
                let kek = Kek::derive(secret, salt, sek.length());
                let seks = SekPair {
                    even: Some(sek),
                    odd: None,
                };
                (kek.wrap(&seks), Ok(Unwrapped { kek, seks }))
            }
        };
        KeyWorkDone {
            number,
            passphrase,
            message,
            unwrapped,
        }
    }
}

/// What the keys are for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// To let a caller in.
    Join(Origin, Box<ConnectRequest>),
    /// To go on reading what this connection sends.
    Refresh(SocketId),
    /// To call a session's remote, in this attempt.
    Call(SessionId, u64),
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    asked_at: Instant,
    purpose: Purpose,
}

/// What is out, and for what.
#[derive(Debug, Default)]
pub(crate) struct KeyDesk {
    asked: u64,
    waiting: VecDeque<Waiting>,
    outbox: VecDeque<KeyWork>,
}

impl KeyDesk {
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        purpose: Purpose,
        passphrase: Passphrase,
        task: Task,
    ) -> Result<(), DropReason> {
        let is_forgotten =
            |waiting: &Waiting| now.saturating_duration_since(waiting.asked_at) >= FORGOTTEN_AFTER;
        while self.waiting.front().is_some_and(is_forgotten) {
            self.waiting.pop_front();
        }
        if self.waiting.len() >= WAITING_MAX || self.outbox.len() >= WAITING_MAX {
            return Err(DropReason::KeyWorkFull);
        }
        self.asked += 1;
        self.waiting.push_back(Waiting {
            number: self.asked,
            asked_at: now,
            purpose,
        });
        self.outbox.push_back(KeyWork {
            number: self.asked,
            passphrase,
            task,
        });
        Ok(())
    }

    /// Whether a connection request waits for its keys.
    pub(crate) fn is_joining(&self, now: Instant, caller: Caller, isn: Seq) -> bool {
        self.waits_for(now, |purpose| match purpose {
            Purpose::Join(origin, request) => {
                (origin.address, request.caller_id) == caller && request.isn == isn
            }
            Purpose::Refresh(_) | Purpose::Call(..) => false,
        })
    }

    /// Whether a connection waits for its next keys.
    pub(crate) fn is_refreshing(&self, now: Instant, id: SocketId) -> bool {
        self.waits_for(
            now,
            |purpose| matches!(purpose, Purpose::Refresh(other) if *other == id),
        )
    }

    fn waits_for(&self, now: Instant, is_it: impl Fn(&Purpose) -> bool) -> bool {
        self.waiting.iter().any(|waiting| {
            now.saturating_duration_since(waiting.asked_at) < FORGOTTEN_AFTER
                && is_it(&waiting.purpose)
        })
    }

    pub(crate) fn poll(&mut self) -> Option<KeyWork> {
        self.outbox.pop_front()
    }

    /// What this was for; `None` when that is forgotten.
    pub(crate) fn take(&mut self, done: &KeyWorkDone) -> Option<Purpose> {
        let is_it = |waiting: &Waiting| waiting.number == done.number;
        let place = self.waiting.iter().position(is_it)?;
        self.waiting.remove(place).map(|waiting| waiting.purpose)
    }
}
