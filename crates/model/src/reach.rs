//! Who can be at the other end of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One host of the internet.
    Public,
    /// A host near us, or ourselves.
    Private,
    /// No single host.
    Nobody,
}

/// Who has this one.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => embedded_v4(ip).map_or_else(|| reach_v6(ip), reach_v4),
    }
}

/// IANA's special-purpose registry of IPv4 (RFC 6890).
fn reach_v4(ip: Ipv4Addr) -> Reach {
    let [a, b, c, _] = ip.octets();
    match (a, b, c) {
        // This network; multicast, reserved and broadcast.
        (0 | 224..=255, ..) => Reach::Nobody,
        (10 | 127, ..)
        | (169, 254, _)
        | (172, 16..=31, _)
        | (192, 168, _)
        // Shared by carriers (RFC 6598), protocol assignments, documentation, benchmarks.
        | (100, 64..=127, _)
        | (192, 0, 0 | 2)
        | (198, 18..=19, _)
        | (198, 51, 100)
        | (203, 0, 113) => Reach::Private,
        _ => Reach::Public,
    }
}

/// IANA's special-purpose registry of IPv6 (RFC 6890).
const fn reach_v6(ip: Ipv6Addr) -> Reach {
    let segments = ip.segments();
    match segments[0] {
        _ if ip.is_unspecified() || ip.is_multicast() => Reach::Nobody,
        // Global unicast, but for protocol assignments and documentation.
        0x2001 if segments[1] < 0x0200 || segments[1] == 0x0db8 => Reach::Private,
        0x3fff if segments[1] < 0x1000 => Reach::Private,
        0x2000..=0x3fff => Reach::Public,
        _ => Reach::Private,
    }
}

/// The IPv4 address that a translator (RFC 6052) or 6to4 (RFC 3056) would reach.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}
