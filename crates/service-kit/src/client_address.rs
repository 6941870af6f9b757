//! Where a request comes from. Anybody can write an `X-Forwarded-For`: it is believed as
//! far as proxies of ours wrote it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// One subscriber of a provider has at least this much of IPv6 (RFC 6177).
const SUBSCRIBER_BITS: u32 = 64;
/// What one customer is routed at most, and anybody can have from a tunnel broker: 65 536
/// times the above.
const NETWORK_BITS_V6: u32 = 48;
/// The smallest network of IPv4 that is routed by itself.
const NETWORK_BITS_V4: u32 = 24;

/// The address that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The one nearest to us that is no proxy of ours; `peer` is who is connected.
    pub fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let mut address = peer.to_canonical();
        let written = headers.get_all(FORWARDED_FOR).iter();
        let written = written.flat_map(|value| value.to_str().unwrap_or_default().split(','));
        let written: Vec<&str> = written.collect();
        for hop in written.into_iter().rev() {
            let is_ours = proxies.iter().any(|proxies| proxies.contains(&address));
            let Some(hop) = is_ours.then(|| hop.trim().parse::<IpAddr>().ok()).flatten() else {
                break;
            };
            address = hop.to_canonical();
        }
        Self(address)
    }

    /// The address itself.
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// The same for all addresses that one subscriber can take.
    pub fn subscriber(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => first_of(address, SUBSCRIBER_BITS).into(),
        }
    }

    /// The first address of the network that it is in, which one party may have all of.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(address) => {
                let kept = !(u32::MAX >> NETWORK_BITS_V4);
                Ipv4Addr::from_bits(address.to_bits() & kept).into()
            }
            IpAddr::V6(address) => first_of(address, NETWORK_BITS_V6).into(),
        }
    }

    /// Whether it is in one of these networks.
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|network| network.contains(&self.0))
    }
}

/// Drops what a stranger writes of how the browser came: only a proxy of ours knows.
pub fn forget_unbelieved(headers: &mut HeaderMap, peer: IpAddr, proxies: &[IpNet]) {
    if !ClientAddress(peer.to_canonical()).is_in(proxies) {
        headers.remove(FORWARDED_PROTO);
    }
}

fn first_of(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(peer: &str, written: &[&'static str]) -> String {
        let proxies: Vec<IpNet> = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"]
            .map(|network| network.parse().unwrap())
            .to_vec();
        let mut headers = HeaderMap::new();
        for value in written {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let address = ClientAddress::of(peer.parse().unwrap(), &headers, &proxies);
        address.subscriber().to_string()
    }

    #[test]
    fn what_a_stranger_writes_is_not_believed() {
        assert_eq!(of("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(
            of("127.0.0.1", &["198.51.100.1, 203.0.113.7"]),
            "203.0.113.7"
        );
        assert_eq!(
            of("127.0.0.1", &["198.51.100.1", "203.0.113.7"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn proxies_of_ours_are_looked_through() {
        assert_eq!(of("127.0.0.1", &["203.0.113.7, 10.1.2.3"]), "203.0.113.7");
        assert_eq!(of("::ffff:127.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(of("fd00::1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(of("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(of("127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(of("127.0.0.1", &["203.0.113.7, "]), "127.0.0.1");
    }

    #[test]
    fn a_network_has_many_subscribers() {
        let network = |peer: &str| {
            let address = ClientAddress::of(peer.parse().unwrap(), &HeaderMap::new(), &[]);
            address.network().to_string()
        };
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
        assert_eq!(network("203.0.113.7"), "203.0.113.0");
    }

    #[test]
    fn a_subscriber_has_many_addresses() {
        assert_eq!(of("2001:db8:1:2:3:4:5:6", &[]), "2001:db8:1:2::");
        assert_eq!(of("::ffff:203.0.113.7", &[]), "203.0.113.7");
    }
}
