//! A bounded number of places, of which one holder has a few at most: so that nobody can
//! take them all.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places that are shared. Clones share the same ones.
pub struct Places<K> {
    max: usize,
    each_max: usize,
    taken: Arc<Mutex<Taken<K>>>,
}

struct Taken<K> {
    all: usize,
    by: HashMap<K, usize>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The holder has as many as one may.
    Yours,
    /// Every place is taken.
    All,
}

/// A place, free again once this is dropped.
pub struct Place<K: Eq + Hash> {
    holder: Option<K>,
    taken: Arc<Mutex<Taken<K>>>,
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self {
            max: self.max,
            each_max: self.each_max,
            taken: Arc::clone(&self.taken),
        }
    }
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// `max` places, at most `each_max` for one holder.
    #[must_use]
    pub fn new(max: usize, each_max: usize) -> Self {
        let taken = Taken {
            all: 0,
            by: HashMap::new(),
        };
        Self {
            max,
            each_max,
            taken: Arc::new(Mutex::new(taken)),
        }
    }

    /// Takes a place for a holder; without one, only the bound on all places counts.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&self, holder: Option<K>) -> Result<Place<K>, Full> {
        let mut taken = lock(&self.taken);
        if taken.all >= self.max {
            return Err(Full::All);
        }
        if let Some(holder) = &holder {
            let theirs = taken.by.get(holder).copied().unwrap_or_default();
            if theirs >= self.each_max {
                return Err(Full::Yours);
            }
            taken.by.insert(holder.clone(), theirs + 1);
        }
        taken.all += 1;
        drop(taken);
        Ok(Place {
            holder,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        let Some(holder) = &self.holder else { return };
        let left = taken.by.get_mut(holder).map(|theirs| {
            *theirs -= 1;
            *theirs
        });
        if left == Some(0) {
            taken.by.remove(holder);
        }
    }
}

/// With whom an address counts together: a subscriber of IPv6 has a /64 at least.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

fn lock<K>(taken: &Mutex<Taken<K>>) -> MutexGuard<'_, Taken<K>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_every_place_and_what_is_left_is_free_again() {
        let places = Places::new(4, 2);
        let mine = [places.take(Some("me")).ok(), places.take(Some("me")).ok()];
        assert!(mine.iter().all(Option::is_some));
        assert_eq!(places.take(Some("me")).err(), Some(Full::Yours));
        let other = places.clone().take(Some("you")).ok();
        assert!(other.is_some());
        let nobodys = places.take(None).ok();
        assert!(nobodys.is_some());
        assert_eq!(places.take(None).err(), Some(Full::All));
        assert_eq!(places.take(Some("they")).err(), Some(Full::All));
        drop((mine, nobodys));
        assert!(places.take(Some("me")).is_ok());
        drop(other);
        assert!(lock(&places.taken).by.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_subscriber_is_one_network() {
        let same = |one: &str, other: &str| {
            network(one.parse().unwrap()) == network(other.parse().unwrap())
        };
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("203.0.113.7", "::ffff:203.0.113.7"));
        assert!(!same("203.0.113.7", "203.0.113.8"));
    }
}
