//! Who speaks SRTLA and is registered nowhere: the links of a sender whose group is lost.
//!
//! A sender learns that its group is gone only by silence: it gives a link up after four to six
//! seconds without an answer, and registers again when all are given up. An SRT handshake that one
//! of its links brings in the meantime must not be answered: that link would live on by the
//! answers, alone, and its sender never register the others.

use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use crate::address::Key;

/// Addresses remembered; one more takes the place of any other.
const PLACES: usize = 4096;
/// A sender asks each link at least once a second.
const REMEMBERED_FOR: Duration = Duration::from_secs(3);
/// What a known address says again so soon changes nothing.
const NEWS_AFTER: Duration = Duration::from_millis(500);

/// A table of fixed size in which an address has one place: what a flood of addresses can do is
/// make it forget. Its hash is keyed, so that nobody can aim at another's place.
#[derive(Debug)]
pub(crate) struct Strangers {
    key: [u8; 16],
    places: Box<[Option<(Key, Instant)>]>,
}

impl Strangers {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self {
            key,
            places: vec![None; PLACES].into_boxed_slice(),
        }
    }

    /// Remembers an address; true when that is news.
    pub(crate) fn note(&mut self, now: Instant, address: SocketAddr) -> bool {
        let key = Key::new(address);
        let home = self.home(key);
        let place = &mut self.places[home];
        let is_known =
            place.is_some_and(|(other, heard_at)| other == key && now < heard_at + NEWS_AFTER);
        if !is_known {
            *place = Some((key, now));
        }
        !is_known
    }

    pub(crate) fn contains(&self, now: Instant, address: SocketAddr) -> bool {
        let key = Key::new(address);
        self.places[self.home(key)]
            .is_some_and(|(other, heard_at)| other == key && now < heard_at + REMEMBERED_FOR)
    }

    /// It is a link now.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        let key = Key::new(address);
        let home = self.home(key);
        let place = &mut self.places[home];
        if place.is_some_and(|(other, _)| other == key) {
            *place = None;
        }
    }

    fn home(&self, key: Key) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&key.to_bytes());
        hasher.finish() as usize % PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ms, start};

    fn host(number: u32) -> SocketAddr {
        SocketAddr::from((number.to_be_bytes(), 9))
    }

    #[test]
    fn an_address_is_remembered_as_long_as_it_speaks() {
        let mut strangers = Strangers::new([1; 16]);
        assert!(strangers.note(start(), host(1)));
        assert!(!strangers.note(start() + ms(400), host(1)), "no news");
        assert!(strangers.note(start() + ms(1000), host(1)));
        assert!(strangers.contains(start() + ms(3900), host(1)));
        assert!(!strangers.contains(start() + ms(4000), host(1)));
        assert!(!strangers.contains(start() + ms(1000), host(2)));
    }

    #[test]
    fn a_link_is_no_stranger() {
        let mut strangers = Strangers::new([1; 16]);
        strangers.note(start(), host(1));
        strangers.forget(host(1));
        assert!(!strangers.contains(start(), host(1)));
    }

    #[test]
    fn a_flood_makes_it_forget_and_never_grow() {
        let mut strangers = Strangers::new([1; 16]);
        for number in 0..100_000 {
            strangers.note(start(), host(number));
        }
        let known = (0..100_000).filter(|number| strangers.contains(start(), host(*number)));
        assert!(known.count() <= PLACES);
        assert_eq!(strangers.places.len(), PLACES);
    }
}
