//! How often strangers may try: passwords, letters to others, devices that ask.
//!
//! Whoever tries has a burst, and gets one try of it back in each interval (the generic
//! cell rate algorithm). What is kept of them is one time, when their burst is whole
//! again, and nothing after that. Each replica counts for itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::UnixMillis;

use super::email::Email;
use crate::client_address::ClientAddress;
use crate::error::{ApiError, Code};
use crate::token::{self, Hash};

/// Parties that are known at the same time; further ones share one burst.
const PARTIES_MAX: usize = 65_536;
/// Between two searches for parties to forget.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Try {
    /// A password; one that is right does not count.
    Password,
    /// To have a letter sent to somebody.
    Letter,
    /// To have a device signed in.
    Device,
}

/// Who tries, or whose account is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// Everybody who has this address.
    Address(IpAddr),
    /// Everybody who names this account, whether there is one or not.
    Account(Hash),
    /// All that found no place of their own.
    Others,
}

impl From<ClientAddress> for Party {
    fn from(address: ClientAddress) -> Self {
        Self::Address(address.subscriber())
    }
}

impl From<&Email> for Party {
    fn from(email: &Email) -> Self {
        Self::Account(token::hash(email.as_str()))
    }
}

struct Rule {
    burst: u32,
    interval: Duration,
}

impl Rule {
    const fn of(what: Try, who: Party) -> Self {
        let (burst, interval_s) = match (what, who) {
            // A day of guessing from many addresses is 1 440 guesses. The owner's way in
            // meanwhile is a letter.
            (Try::Password, Party::Account(_)) => (10, 60),
            (Try::Password, _) => (30, 10),
            (Try::Letter, _) => (10, 60),
            (Try::Device, _) => (20, 10),
        };
        Self {
            burst,
            interval: Duration::from_secs(interval_s),
        }
    }

    /// The longest that a burst takes to be whole again.
    fn span(&self) -> Duration {
        self.interval * self.burst
    }
}

type Key = (Try, Party);

/// Who tried lately.
#[derive(Default)]
pub(crate) struct Tries(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// When the burst of each is whole again.
    whole_at: HashMap<Key, UnixMillis>,
    swept_at: Option<UnixMillis>,
}

impl Tries {
    /// Counts a try of all of `parties`, or of none when one of them has tried too often.
    ///
    /// # Errors
    /// 429, with the time to wait.
    pub(crate) fn count(
        &self,
        what: Try,
        parties: &[Party],
        now: UnixMillis,
    ) -> Result<(), ApiError> {
        let mut table = self.table();
        table.sweep(now);
        let keys = parties.iter().map(|party| table.key(what, *party));
        let keys: Vec<Key> = keys.collect();
        let after = keys.iter().map(|key| table.after(*key, now));
        let after: Vec<UnixMillis> = after.collect::<Result<_, _>>().map_err(too_often)?;
        table.whole_at.extend(keys.into_iter().zip(after));
        Ok(())
    }

    /// Takes back what [`Self::count`] counted.
    pub(crate) fn forgive(&self, what: Try, parties: &[Party]) {
        let mut table = self.table();
        for party in parties {
            let key = (what, *party);
            if let Some(whole_at) = table.whole_at.get_mut(&key) {
                *whole_at = whole_at.minus(Rule::of(what, *party).interval);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Forgets whose burst is whole, once there are many.
    fn sweep(&mut self, now: UnixMillis) {
        let is_due = self
            .swept_at
            .is_none_or(|at| now.since(at) >= SWEEP_INTERVAL || at > now);
        if self.whole_at.len() >= PARTIES_MAX / 2 && is_due {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.swept_at = Some(now);
        }
    }

    fn key(&self, what: Try, party: Party) -> Key {
        let key = (what, party);
        let has_place = self.whole_at.len() < PARTIES_MAX || self.whole_at.contains_key(&key);
        if has_place {
            key
        } else {
            (what, Party::Others)
        }
    }

    /// When the burst is whole again after one more try; else how long until there is one.
    fn after(&mut self, key: Key, now: UnixMillis) -> Result<UnixMillis, Duration> {
        let rule = Rule::of(key.0, key.1);
        let whole_at = self.whole_at.get_mut(&key).map_or(now, |whole_at| {
            // A clock that was set back makes nobody wait for longer than a burst.
            *whole_at = (*whole_at).min(now.plus(rule.span()));
            *whole_at
        });
        let after = whole_at.max(now).plus(rule.interval);
        let wait = after.since(now).saturating_sub(rule.span());
        if wait.is_zero() { Ok(after) } else { Err(wait) }
    }
}

fn too_often(wait: Duration) -> ApiError {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let message = format!("this was tried too often; try again in {seconds} s");
    ApiError::new(Code::RateLimited, message)
        .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_763_700_000_000);

    fn party(number: u32) -> Party {
        Party::Address(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn later(seconds: u64) -> UnixMillis {
        NOW.plus(Duration::from_secs(seconds))
    }

    /// How many tries succeed at once.
    fn burst(tries: &Tries, party: Party, now: UnixMillis) -> usize {
        let try_once = || tries.count(Try::Letter, &[party], now).is_ok();
        (0..100).take_while(|_| try_once()).count()
    }

    #[test]
    fn a_burst_comes_back_one_by_one() {
        let tries = Tries::default();
        assert_eq!(burst(&tries, party(1), NOW), 10);
        assert_eq!(burst(&tries, party(1), later(59)), 0);
        assert_eq!(burst(&tries, party(1), later(60)), 1);
        assert_eq!(burst(&tries, party(1), later(60 + 180)), 3);
        assert_eq!(burst(&tries, party(1), later(10_000)), 10);
        assert_eq!(burst(&tries, party(2), NOW), 10, "each has their own");
        let other = tries.count(Try::Device, &[party(1)], later(10_000));
        assert!(other.is_ok(), "so has each kind");
    }

    #[test]
    fn one_party_that_may_not_has_none_counted() {
        let tries = Tries::default();
        assert_eq!(burst(&tries, party(1), NOW), 10);
        for _ in 0..20 {
            assert!(
                tries
                    .count(Try::Letter, &[party(2), party(1)], NOW)
                    .is_err()
            );
        }
        assert_eq!(burst(&tries, party(2), NOW), 10);
    }

    #[test]
    fn what_is_forgiven_was_never_tried() {
        let tries = Tries::default();
        for _ in 0..50 {
            tries.count(Try::Password, &[party(1)], NOW).unwrap();
            tries.forgive(Try::Password, &[party(1)]);
        }
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let tries = Tries::default();
        assert_eq!(burst(&tries, party(1), later(1_000_000)), 10);
        assert_eq!(burst(&tries, party(1), NOW), 0);
        assert_eq!(burst(&tries, party(1), later(60)), 1);
    }

    #[test]
    fn a_crowd_shares_what_is_left() {
        let tries = Tries::default();
        let crowd = u32::try_from(PARTIES_MAX).unwrap();
        for number in 0..crowd {
            tries.count(Try::Letter, &[party(number)], NOW).unwrap();
        }
        let others = (crowd..crowd + 100).map(|number| burst(&tries, party(number), NOW));
        assert_eq!(others.sum::<usize>(), 10);
        assert_eq!(burst(&tries, party(0), NOW), 9, "who has a place keeps it");
        assert!(tries.table().whole_at.len() <= PARTIES_MAX + 1);
        assert_eq!(burst(&tries, party(crowd), later(700)), 10);
        assert_eq!(tries.table().whole_at.len(), 1, "who is whole is forgotten");
    }
}
