//! From a peer's address to its link, for every packet: a hash table that stays as it was made.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use siphasher::sip::SipHasher13;

/// An address as the table compares it: IPv4 is the same whether the socket is dual-stack or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    ip: u128,
    port: u16,
    scope: u32,
}

impl Key {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        Self {
            ip: ip.to_bits(),
            port: address.port(),
            scope,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 22] {
        let mut bytes = [0; 22];
        bytes[..16].copy_from_slice(&self.ip.to_be_bytes());
        bytes[16..18].copy_from_slice(&self.port.to_be_bytes());
        bytes[18..].copy_from_slice(&self.scope.to_be_bytes());
        bytes
    }
}

/// Whom failures are counted against: an IPv4 address, or the network half of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(u64);

impl Prefix {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            // No IPv6 network of the Internet looks like an IPv4 address.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        })
    }
}

/// A hash table with open addressing. It never grows, and its hash is keyed: a peer cannot choose
/// addresses that collide.
#[derive(Debug)]
pub(crate) struct Table<T> {
    key: [u8; 16],
    places: Box<[Option<(Key, T)>]>,
    len: usize,
    len_max: usize,
}

impl<T: Copy> Table<T> {
    /// Room for `len_max` addresses; at most half of the places are ever taken.
    pub(crate) fn new(key: [u8; 16], len_max: usize) -> Self {
        let places = (2 * len_max.max(1)).next_power_of_two();
        Self {
            key,
            places: vec![None; places].into_boxed_slice(),
            len: 0,
            len_max,
        }
    }

    pub(crate) fn find(&self, address: SocketAddr) -> Option<T> {
        let key = Key::new(address);
        self.places[self.place(key)].map(|(_, value)| value)
    }

    /// Sets what belongs to `address`; false when the table is full.
    #[must_use]
    pub(crate) fn insert(&mut self, address: SocketAddr, value: T) -> bool {
        let key = Key::new(address);
        let place = self.place(key);
        if self.places[place].is_none() {
            if self.len >= self.len_max {
                return false;
            }
            self.len += 1;
        }
        self.places[place] = Some((key, value));
        true
    }

    pub(crate) fn remove(&mut self, address: SocketAddr) {
        let place = self.place(Key::new(address));
        if self.places[place].take().is_some() {
            self.len -= 1;
            self.close_gap(place);
        }
    }

    /// Where `key` is, or the free place where it belongs. There is always a free one.
    fn place(&self, key: Key) -> usize {
        let mut place = self.home(key);
        while self.places[place].is_some_and(|(other, _)| other != key) {
            place = self.after(place);
        }
        place
    }

    fn home(&self, key: Key) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&key.to_bytes());
        hasher.finish() as usize & (self.places.len() - 1)
    }

    const fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// Moves back what is behind a freed place, so that no search ends there too early.
    fn close_gap(&mut self, mut gap: usize) {
        let mut place = self.after(gap);
        while let Some((key, _)) = self.places[place] {
            let mask = self.places.len() - 1;
            let way_from_home = place.wrapping_sub(self.home(key)) & mask;
            if way_from_home >= place.wrapping_sub(gap) & mask {
                self.places.swap(gap, place);
                gap = place;
            }
            place = self.after(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_sorted_map(steps in prop::collection::vec((0u16..40, prop::option::of(any::<u32>())), 1..400)) {
            let mut table = Table::new([5; 16], 16);
            let mut model = BTreeMap::new();
            let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
            for (port, value) in steps {
                if let Some(value) = value {
                    let fits = model.len() < 16 || model.contains_key(&port);
                    prop_assert_eq!(table.insert(address(port), value), fits);
                    if fits {
                        model.insert(port, value);
                    }
                } else {
                    table.remove(address(port));
                    model.remove(&port);
                }
                for port in 0..40 {
                    prop_assert_eq!(table.find(address(port)), model.get(&port).copied());
                }
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let key = |text: &str| Key::new(text.parse().unwrap());
        assert_eq!(key("192.0.2.1:5"), key("[::ffff:192.0.2.1]:5"));
        assert_ne!(key("192.0.2.1:5"), key("192.0.2.1:6"));
        assert_ne!(key("[fe80::1%1]:5"), key("[fe80::1%2]:5"));
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let prefix = |text: &str| Prefix::new(text.parse().unwrap());
        assert_eq!(prefix("[2001:db8::1]:1"), prefix("[2001:db8::ffff:1]:2"));
        assert_ne!(prefix("[2001:db8::1]:1"), prefix("[2001:db8:0:1::1]:1"));
        assert_eq!(prefix("[::ffff:192.0.2.1]:1"), prefix("192.0.2.1:2"));
    }
}
