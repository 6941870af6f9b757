//! How often strangers may try: passwords, letters to others, devices that ask.

use std::net::IpAddr;
use std::time::Duration;

use model::UnixMillis;

use super::email::Email;
use crate::error::ApiError;
use crate::limits::buckets::{Buckets, Key, Rule};
use crate::limits::too_often;
use crate::token::{self, Hash};
use service_kit::client_address::ClientAddress;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Try {
    /// A password; one that is right does not count.
    Password,
    /// To have a letter sent to somebody.
    Letter,
    /// To have a device signed in.
    Device,
    /// To sign in with an account elsewhere.
    Provider,
}

/// Who tries, or whose account is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// Everybody who has this address.
    Address(IpAddr),
    /// Everybody in the network that begins with this address.
    Network(IpAddr),
    /// Everybody who names this account, whether there is one or not.
    Account(Hash),
    /// A browser that signed in to the account before.
    Browser(Hash),
    /// All browsers that found no place of their own.
    OtherBrowsers,
    /// All others that found none.
    Others,
}

impl Party {
    /// Everybody that an address may be one of.
    pub(crate) fn at(address: ClientAddress) -> [Self; 2] {
        let network = Self::Network(address.network());
        [Self::Address(address.subscriber()), network]
    }

    const fn is_known(self) -> bool {
        matches!(self, Self::Browser(_) | Self::OtherBrowsers)
    }
}

impl From<&Email> for Party {
    fn from(email: &Email) -> Self {
        Self::Account(token::hash(email.as_str()))
    }
}

type What = (Try, Party);

impl Key for What {
    fn shared(self) -> Self {
        let others = match self.1.is_known() {
            true => Party::OtherBrowsers,
            false => Party::Others,
        };
        (self.0, others)
    }

    fn is_ours(self) -> bool {
        self.1.is_known()
    }
}

fn rule(what: Try, who: Party) -> Rule {
    let (burst, interval_s) = match (what, who) {
        // A day of guessing from many addresses is 1 440 guesses. The owner comes in
        // meanwhile with a browser that did before, and by a letter.
        (Try::Password, Party::Account(_) | Party::Browser(_)) => (10, 60),
        (Try::Password, _) => (30, 10),
        (Try::Letter, _) => (10, 60),
        (Try::Device | Try::Provider, _) => (20, 10),
    };
    let rule = Rule {
        burst,
        interval: Duration::from_secs(interval_s),
    };
    match who {
        Party::Network(_) => rule.of_network(),
        _ => rule,
    }
}

/// Who tried lately.
#[derive(Default)]
pub(crate) struct Tries(Buckets<What>);

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
        let of = parties.iter().map(|who| ((what, *who), rule(what, *who)));
        let of: Vec<(What, Rule)> = of.collect();
        self.0.take(&of, now).map(drop).map_err(too_often)
    }

    /// Takes back what [`Self::count`] counted.
    pub(crate) fn forgive(&self, what: Try, parties: &[Party]) {
        for who in parties {
            self.0.give_back((what, *who), rule(what, *who));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::buckets::PARTIES_MAX;

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
        assert!(tries.0.parties() <= PARTIES_MAX + 1);
        assert_eq!(burst(&tries, party(crowd), later(700)), 10);
        assert_eq!(tries.0.parties(), 1, "who is whole is forgotten");
    }

    #[test]
    fn a_network_is_not_as_many_parties_as_it_has_subscribers() {
        let tries = Tries::default();
        let subscriber = |number: u128| {
            let address = std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | number << 64);
            ClientAddress::of(address.into(), &http::HeaderMap::new(), &[])
        };
        let tried = |number| tries.count(Try::Letter, &Party::at(subscriber(number)), NOW);
        let succeeded = (0..1000).filter(|number| tried(*number).is_ok()).count();
        assert_eq!(succeeded, 160, "sixteen bursts");
        assert!(tries.0.parties() <= 161);
        assert!(tried(0x1_0000).is_ok(), "the next network has its own");
    }
}
