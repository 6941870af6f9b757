//! What a link most likely is. The rules, in order; the first that says something wins:
//!
//! 1. The number of the autonomous system is in [`NETWORKS`].
//! 2. The organisation's name has words of exactly one kind of [`PHRASES`]. Words
//!    count whole and without case: "Cox" is in "Cox Communications", not in "Coxwell".
//!    Words of two kinds say nothing: "Mobile & Broadband Ltd".
//! 3. The address is not public: local.
//! 4. Otherwise nobody knows.
//!
//! A carrier that sells both lines and mobile under one number and a name without such
//! words is unknown, and stays so: a wrong word is worse than none.

use std::net::IpAddr;

use model::telemetry::LinkType;

use model::reach::{Reach, reach};

/// Autonomous systems of one kind of access, by the registries' names.
const NETWORKS: &[(LinkType, &[u32])] = &[
    (
        LinkType::Cellular,
        &[
            6_167,   // Verizon Wireless (Cellco Partnership)
            9_605,   // NTT DOCOMO
            9_644,   // SK Telecom
            10_507,  // Sprint Personal Communications Systems
            12_576,  // EE, United Kingdom
            20_057,  // AT&T Mobility
            21_928,  // T-Mobile USA
            22_394,  // Verizon Wireless (Cellco Partnership)
            45_609,  // Bharti Airtel, mobility
            51_207,  // Free Mobile, France
            55_836,  // Reliance Jio
            60_339,  // Hutchison 3G, United Kingdom
            138_384, // Rakuten Mobile
            206_067, // Three, United Kingdom
        ],
    ),
    (
        LinkType::Satellite,
        &[
            6_621,  // Hughes Network Systems
            7_155,  // Viasat
            14_593, // SpaceX Starlink
            40_306, // Viasat
        ],
    ),
    (
        LinkType::Fixed,
        &[
            701,    // Verizon Business, Fios
            5_089,  // Virgin Media
            5_607,  // Sky UK
            6_128,  // Cablevision (Optimum)
            7_922,  // Comcast
            11_426, // Charter
            11_427, // Charter
            12_271, // Charter
            16_591, // Google Fiber
            20_001, // Charter
            20_115, // Charter
            22_773, // Cox
        ],
    ),
    (
        LinkType::Hosting,
        &[
            8_075,   // Microsoft
            9_009,   // M247
            13_335,  // Cloudflare
            14_061,  // DigitalOcean
            14_618,  // Amazon
            16_276,  // OVH
            16_509,  // Amazon
            20_473,  // The Constant Company (Vultr)
            24_940,  // Hetzner
            39_351,  // 31173 Services (Mullvad)
            60_068,  // Datacamp
            63_949,  // Akamai (Linode)
            136_787, // PacketHub
            212_238, // Datacamp
            396_982, // Google Cloud
        ],
    ),
];

/// Words in a row, in lower case.
const PHRASES: &[(LinkType, &[&str])] = &[
    (
        LinkType::Cellular,
        &[
            "mobile",
            "mobility",
            "cellular",
            "cellco",
            "verizon wireless",
            "docomo",
            "gsm",
            "lte",
        ],
    ),
    (
        LinkType::Satellite,
        &[
            "starlink",
            "viasat",
            "hughes network",
            "hughesnet",
            "oneweb",
            "satellite",
        ],
    ),
    (
        LinkType::Fixed,
        &[
            "broadband",
            "cable",
            "cablevision",
            "fiber",
            "fibre",
            "dsl",
            "comcast",
            "charter communications",
            "cox",
            "cox communications",
            "centurylink",
        ],
    ),
    (
        LinkType::Hosting,
        &[
            "hosting",
            "cloud",
            "datacenter",
            "datacentre",
            "data center",
            "data centre",
            "vps",
            "vpn",
            "servers",
            "colocation",
        ],
    ),
];

/// The rules above.
pub(crate) fn guess(address: IpAddr, asn: Option<u32>, organisation: Option<&str>) -> LinkType {
    asn.and_then(by_number)
        .or_else(|| organisation.and_then(by_name))
        .unwrap_or_else(|| by_address(address))
}

fn by_number(asn: u32) -> Option<LinkType> {
    let mut known = NETWORKS.iter();
    known
        .find(|(_, numbers)| numbers.contains(&asn))
        .map(|(kind, _)| *kind)
}

fn by_name(organisation: &str) -> Option<LinkType> {
    let name = spaced(organisation);
    let said = |phrase: &&str| name.contains(&format!(" {phrase} "));
    let mut kinds = PHRASES.iter();
    let mut kinds = kinds
        .by_ref()
        .filter(|(_, phrases)| phrases.iter().any(said));
    let (kind, _) = kinds.next()?;
    kinds.next().is_none().then_some(*kind)
}

/// A name's words in lower case, with a space around each.
fn spaced(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let mut spaced = " ".to_owned();
    for word in words {
        spaced.push_str(&word.to_lowercase());
        spaced.push(' ');
    }
    spaced
}

fn by_address(address: IpAddr) -> LinkType {
    match reach(address) {
        Reach::Public => LinkType::Unknown,
        Reach::Private | Reach::Nobody => LinkType::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "8.8.8.8";

    fn named(organisation: &str) -> LinkType {
        guess(PUBLIC.parse().unwrap(), None, Some(organisation))
    }

    #[test]
    fn names_of_real_carriers() {
        use LinkType::{Cellular, Fixed, Hosting, Satellite, Unknown};
        for (name, kind) in [
            ("T-Mobile USA, Inc.", Cellular),
            ("AT&T Mobility LLC", Cellular),
            ("Cellco Partnership DBA Verizon Wireless", Cellular),
            ("NTT DOCOMO, INC.", Cellular),
            ("Space Exploration Technologies - Starlink", Satellite),
            ("Hughes Network Systems", Satellite),
            ("Comcast Cable Communications, LLC", Fixed),
            ("Cox Communications Inc.", Fixed),
            ("COX", Fixed),
            ("Google Fiber Inc.", Fixed),
            ("Hetzner Online Cloud", Hosting),
            ("Proton VPN", Hosting),
            // Both kinds of access under one name.
            ("Vodafone GmbH", Unknown),
            ("Deutsche Telekom AG", Unknown),
            ("AT&T Enterprises, LLC", Unknown),
            ("Orange S.A.", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(named(name), kind, "{name}");
        }
    }

    #[test]
    fn words_count_whole_and_two_kinds_say_nothing() {
        for name in [
            "Coxwell Networks",
            "Automobiles Inc.",
            "Clouded Leopard Ltd",
            "Campbell",
            "Hughes Hubbard LLP",
            "Example Mobile & Broadband",
            "Satellite Cloud",
        ] {
            assert_eq!(named(name), LinkType::Unknown, "{name}");
        }
        assert_eq!(named("Virgin Mobile Mobility"), LinkType::Cellular);
    }

    #[test]
    fn a_number_says_more_than_a_name_and_a_name_more_than_an_address() {
        let public = PUBLIC.parse().unwrap();
        let guess_of = |asn, name| guess(public, Some(asn), Some(name));
        assert_eq!(guess_of(14_593, "Example Cable"), LinkType::Satellite);
        assert_eq!(guess_of(64_500, "Example Cable"), LinkType::Fixed);
        let private = "10.0.0.1".parse().unwrap();
        let named = guess(private, None, Some("Our Mobile APN"));
        assert_eq!(named, LinkType::Cellular, "the operator's database knows");
        assert_eq!(guess(private, Some(64_500), Some("x")), LinkType::Local);
    }

    #[test]
    fn addresses_that_nobody_announces_are_local() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.0.1",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.1.1",
        ] {
            let local = guess(address.parse().unwrap(), None, None);
            assert_eq!(local, LinkType::Local, "{address}");
        }
        for address in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2600::1"] {
            let unknown = guess(address.parse().unwrap(), None, None);
            assert_eq!(unknown, LinkType::Unknown, "{address}");
        }
    }

    #[test]
    fn no_rule_is_there_twice() {
        let mut numbers: Vec<_> = NETWORKS.iter().flat_map(|(_, numbers)| *numbers).collect();
        let mut phrases: Vec<_> = PHRASES.iter().flat_map(|(_, phrases)| *phrases).collect();
        let rules = numbers.len() + phrases.len();
        numbers.sort_unstable();
        numbers.dedup();
        phrases.sort_unstable();
        phrases.dedup();
        assert_eq!(numbers.len() + phrases.len(), rules);
    }
}
