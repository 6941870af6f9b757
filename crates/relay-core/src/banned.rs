//! Addresses that are answered no longer, and what comes from them.
//!
//! Only handshakes and registrations are looked up, and what is connected when the set
//! changes: a packet of a connection that is let in is not.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;
use model::session::Role;

use crate::bonding::Route;
use crate::reason::GoneReason;
use crate::relay::Relay;

/// The most prefixes that a node takes.
pub const BANNED_PREFIXES_MAX: usize = 4096;

/// A set of address prefixes. An address is in it when any of them covers it, however long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BannedAddresses {
    /// The first and the last address of each, IPv4 as IPv6 has it (RFC 4291, 2.5.5.2);
    /// in order, apart, and none of them empty.
    ranges: Box<[(u128, u128)]>,
}

impl BannedAddresses {
    /// Makes a set of at most [`BANNED_PREFIXES_MAX`] prefixes; others are left out.
    pub fn new(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let prefixes = prefixes.into_iter().take(BANNED_PREFIXES_MAX);
        let mut ranges: Vec<_> = prefixes
            .map(|prefix| (bits(prefix.network()), bits(prefix.broadcast())))
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, range| {
            let touches = next.0 <= range.1.saturating_add(1);
            if touches {
                range.1 = range.1.max(next.1);
            }
            touches
        });
        Self {
            ranges: ranges.into(),
        }
    }

    /// Whether the address is one of them. Allocates nothing and takes a dozen steps.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = bits(address);
        let before = self.ranges.partition_point(|range| range.0 <= address);
        before > 0 && address <= self.ranges[before - 1].1
    }

    /// Whether nobody is banned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Relay {
    pub(crate) fn is_banned(&self, peer: SocketAddr) -> bool {
        self.banned.contains(peer.ip())
    }

    /// Answers these no longer, and cuts what comes from them: connections, and groups with
    /// a link there. Whom we call ourselves is not who calls us.
    pub(crate) fn ban(&mut self, now: Instant, banned: BannedAddresses) {
        self.banned = banned;
        if self.banned.is_empty() {
            return;
        }
        let connections = self.connections.iter();
        let cut: Vec<u32> = connections
            .filter(|(_, connection)| !connection.is_ours() && self.comes_from_banned(connection))
            .map(|(key, _)| key)
            .collect();
        for key in cut {
            self.close(now, key, GoneReason::Banned);
        }
        let banned = &self.banned;
        self.output
            .srtla
            .close_groups_from(|peer| banned.contains(peer.ip()));
        self.handle_group_events(now);
    }

    fn comes_from_banned(&self, connection: &crate::connections::Connection) -> bool {
        if self.is_banned(connection.source) {
            return true;
        }
        if connection.leg.role() != Role::Publish {
            return false;
        }
        let stream = self.streams.item(connection.stream);
        let publisher = stream.and_then(|stream| stream.publisher.as_ref());
        match publisher.map(|publisher| publisher.route) {
            Some(Route::Group(group)) => {
                let mut links = self.output.srtla.broadcast(group);
                links.any(|path| self.is_banned(path.peer))
            }
            Some(Route::Direct(_)) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(prefixes: &[&str]) -> BannedAddresses {
        BannedAddresses::new(prefixes.iter().map(|prefix| prefix.parse().unwrap()))
    }

    #[test]
    fn an_address_is_banned_by_any_prefix_that_covers_it() {
        let set = set(&[
            "203.0.113.0/24",
            "203.0.0.0/16",
            "198.51.100.7/32",
            "2001:db8::/32",
        ]);
        for (address, is_in) in [
            ("203.0.113.9", true),
            ("203.0.255.255", true),
            ("203.1.0.0", false),
            ("202.255.255.255", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("::ffff:198.51.100.7", true),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), is_in, "{address}");
        }
    }

    #[test]
    fn ranges_that_touch_are_one_and_the_ends_of_the_space_are_in_it() {
        let whole = set(&["::/1", "8000::/1", "0.0.0.0/1"]);
        assert_eq!(&*whole.ranges, [(0, u128::MAX)]);
        assert!(whole.contains("255.255.255.255".parse().unwrap()));
        assert!(set(&[]).is_empty());
        assert!(!set(&[]).contains("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn it_takes_no_more_than_it_may() {
        let many = (0..10_000_u32).map(|number| IpAddr::V4((number * 2).into()).into());
        let set = BannedAddresses::new(many);
        assert_eq!(set.ranges.len(), BANNED_PREFIXES_MAX);
    }
}
