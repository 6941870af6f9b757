//! Uplinks of carriers, by names that are made up.
//!
//! The node finds a link's carrier by its source address, in a database that says whom
//! parts of 127.0.0.0/8 belong to: [`database`].

use std::net::{IpAddr, Ipv4Addr};

use testkit::asn_database::{self, Dialect};
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

/// The database's file.
#[must_use]
pub fn database() -> Vec<u8> {
    asn_database::write(Dialect::IpinfoLite, &asn_database::carriers())
}

/// An uplink of a carrier, from the first address of its network.
///
/// # Panics
/// When no carrier has this name: a mistake of the caller.
#[must_use]
pub fn uplink(carrier: &str, way: Impairment) -> Uplink {
    let source = source(carrier).expect("a carrier of the made-up database");
    Uplink::new(carrier, source, way)
}

fn source(carrier: &str) -> Option<Ipv4Addr> {
    let networks = asn_database::carriers();
    let own = networks
        .iter()
        .filter(|network| network.organisation == carrier);
    own.filter_map(|network| match network.address {
        IpAddr::V4(address) => Some(Ipv4Addr::from_bits(address.to_bits() + 1)),
        IpAddr::V6(_) => None,
    })
    .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers_have_addresses_of_their_own() {
        let uplink = |name| uplink(name, Impairment::default()).source;
        assert_eq!(uplink("T-Mobile"), IpAddr::from([127, 0, 1, 1]));
        assert_ne!(uplink("T-Mobile"), uplink("Cox"));
        assert!(source("Carrier Pigeon").is_none());
    }
}
