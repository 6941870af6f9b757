//! An ASN database that says which carrier a test's addresses belong to.
//!
//! [`carriers`] are made up: they map prefixes that never leave a machine to names and
//! numbers of well-known networks, so that links bound to `127.0.N.1` (or `fd00:0:N::…`)
//! look like links of different carriers. [`write`] turns any list of networks into a
//! file of the [MaxMind DB format](https://maxmind.github.io/MaxMind-DB/), version 2.0:
//!
//! ```text
//! ┌─────────────┬──────────┬──────────────┬─────────────────────────┬──────────┐
//! │ search tree │ 16 zeros │ data section │ AB CD EF "MaxMind.com"  │ metadata │
//! └─────────────┴──────────┴──────────────┴─────────────────────────┴──────────┘
//! node: two records of 32 bits, for the next bit 0 and 1; a record is another node's
//! number, or `nodes` (nothing here), or `nodes` + 16 + an offset in the data section
//! ```
//!
//! To add a carrier, add its line to [`carriers`]; to add another publisher's field
//! names, add a [`Dialect`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A record has this many bits.
const RECORD_BITS: u16 = 32;
/// Zeros between the search tree and the data.
const SEPARATOR_LEN: u32 = 16;
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
const ADDRESS_BITS: u8 = 128;
/// IPv4 addresses are in the tree as `::a.b.c.d`.
const IPV4_BITS_AHEAD: u8 = 96;

/// Whose field names a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `autonomous_system_number`, `autonomous_system_organization` (MaxMind GeoLite2 ASN).
    GeoLite2Asn,
    /// `asn` (as `AS64500`), `as_name`, `as_domain` (IPinfo Lite).
    IpinfoLite,
}

/// A network and who announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Any address in it.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix_bits: u8,
    /// The number of the autonomous system.
    pub asn: u32,
    /// The organisation's name.
    pub organisation: String,
    /// Its domain; only [`Dialect::IpinfoLite`] has it.
    pub domain: String,
}

/// The made-up carriers: `127.0.N.0/24` and `fd00:0:N::/48` for N from 1.
///
/// | N | organisation | kind |
/// |---|---|---|
/// | 1 | T-Mobile | cellular |
/// | 2 | Verizon | cellular |
/// | 3 | Cox | fixed |
/// | 4 | Starlink | satellite |
/// | 5 | Example Hosting | hosting |
/// | 6 | Example Net | unknown |
///
/// Everything else, `127.0.0.1` and `::1` among it, belongs to nobody.
#[must_use]
pub fn carriers() -> Vec<Network> {
    let carriers = [
        (21_928, "T-Mobile", "t-mobile.example"),
        (22_394, "Verizon", "verizon.example"),
        (22_773, "Cox", "cox.example"),
        (14_593, "Starlink", "starlink.example"),
        (64_500, "Example Hosting", "hosting.example"),
        (64_501, "Example Net", "net.example"),
    ];
    let numbered = (1..).zip(carriers);
    let networks = numbered.flat_map(|(number, (asn, organisation, domain))| {
        let network = |address, prefix_bits| Network {
            address,
            prefix_bits,
            asn,
            organisation: organisation.to_owned(),
            domain: domain.to_owned(),
        };
        let v4 = Ipv4Addr::new(127, 0, number, 0).into();
        let v6 = Ipv6Addr::new(0xfd00, 0, number.into(), 0, 0, 0, 0, 0).into();
        [network(v4, 24), network(v6, 48)]
    });
    networks.collect()
}

/// A database's file. Where networks overlap the one listed last wins.
///
/// # Panics
/// When a prefix is longer than its address, or a name longer than 284 bytes.
#[must_use]
pub fn write(dialect: Dialect, networks: &[Network]) -> Vec<u8> {
    let mut tree = Tree::default();
    let mut data = Vec::new();
    for network in networks {
        let offset = u32::try_from(data.len()).expect("a test's database is small");
        data.extend(record(dialect, network));
        tree.insert(network, offset);
    }
    let mut file = tree.bytes();
    file.extend([0; SEPARATOR_LEN as usize]);
    file.extend(data);
    file.extend(METADATA_MARKER);
    file.extend(metadata(dialect, tree.len()));
    file
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Nothing,
    Node(u32),
    Data(u32),
}

/// Nodes by number, the root first.
#[derive(Debug)]
struct Tree(Vec<[Record; 2]>);

impl Default for Tree {
    fn default() -> Self {
        Self(vec![[Record::Nothing; 2]])
    }
}

impl Tree {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a test's database is small")
    }

    fn insert(&mut self, network: &Network, offset: u32) {
        let (bits, length) = path(network);
        let mut node = 0;
        for depth in 0..length - 1 {
            node = self.step(node, bit(bits, depth));
        }
        self.0[node][bit(bits, length - 1)] = Record::Data(offset);
    }

    /// The node on one side of another, made when there is none. What was known of
    /// that whole side goes down to both halves.
    fn step(&mut self, node: usize, side: usize) -> usize {
        if let Record::Node(next) = self.0[node][side] {
            return next as usize;
        }
        let inherited = self.0[node][side];
        self.0[node][side] = Record::Node(self.len());
        self.0.push([inherited; 2]);
        self.0.len() - 1
    }

    fn bytes(&self) -> Vec<u8> {
        let nodes = self.len();
        let word = |record: &Record| match *record {
            Record::Nothing => nodes,
            Record::Node(number) => number,
            Record::Data(offset) => nodes + SEPARATOR_LEN + offset,
        };
        let words = self.0.iter().flatten().map(word);
        words.flat_map(u32::to_be_bytes).collect()
    }
}

/// The way through the tree: bits from the top, and how many of them.
fn path(network: &Network) -> (u128, u8) {
    let (bits, length) = match network.address {
        IpAddr::V4(address) => {
            assert!(network.prefix_bits <= 32, "an IPv4 address has 32 bits");
            let length = IPV4_BITS_AHEAD + network.prefix_bits;
            (u128::from(address.to_bits()), length)
        }
        IpAddr::V6(address) => (address.to_bits(), network.prefix_bits),
    };
    assert!((1..=ADDRESS_BITS).contains(&length), "1 to 128 bits");
    (bits, length)
}

const fn bit(bits: u128, depth: u8) -> usize {
    ((bits >> (ADDRESS_BITS - 1 - depth)) & 1) as usize
}

fn record(dialect: Dialect, network: &Network) -> Vec<u8> {
    let fields = match dialect {
        Dialect::GeoLite2Asn => vec![
            ("autonomous_system_number", uint32(network.asn)),
            (
                "autonomous_system_organization",
                text(&network.organisation),
            ),
        ],
        Dialect::IpinfoLite => vec![
            ("asn", text(&format!("AS{}", network.asn))),
            ("as_name", text(&network.organisation)),
            ("as_domain", text(&network.domain)),
        ],
    };
    map(fields)
}

fn metadata(dialect: Dialect, nodes: u32) -> Vec<u8> {
    let database_type = match dialect {
        Dialect::GeoLite2Asn => "GeoLite2-ASN",
        Dialect::IpinfoLite => "ipinfo lite",
    };
    map(vec![
        ("node_count", uint32(nodes)),
        ("record_size", uint16(RECORD_BITS)),
        ("ip_version", uint16(6)),
        ("database_type", text(database_type)),
        ("languages", array(&[text("en")])),
        ("binary_format_major_version", uint16(2)),
        ("binary_format_minor_version", uint16(0)),
        ("build_epoch", uint64(1_700_000_000)),
        (
            "description",
            map(vec![("en", text("Made-up carriers for tests"))]),
        ),
    ])
}

// Values of the data section. The first byte has the type in its upper three bits and
// the length in its lower five; types from 8 on have 0 there and a byte of their own.

fn head(kind: u8, length: usize) -> Vec<u8> {
    let (size, more) = match length {
        0..29 => (length as u8, None),
        29..285 => (29, Some((length - 29) as u8)),
        _ => panic!("a value of {length} bytes is too long for a test's database"),
    };
    let mut head = match kind {
        1..=7 => vec![kind << 5 | size],
        _ => vec![size, kind - 7],
    };
    head.extend(more);
    head
}

fn value(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut value = head(kind, bytes.len());
    value.extend(bytes);
    value
}

fn text(text: &str) -> Vec<u8> {
    value(2, text.as_bytes())
}

fn uint16(number: u16) -> Vec<u8> {
    value(5, &number.to_be_bytes())
}

fn uint32(number: u32) -> Vec<u8> {
    value(6, &number.to_be_bytes())
}

fn uint64(number: u64) -> Vec<u8> {
    value(9, &number.to_be_bytes())
}

fn map(fields: Vec<(&str, Vec<u8>)>) -> Vec<u8> {
    let mut map = head(7, fields.len());
    for (name, value) in fields {
        map.extend(text(name));
        map.extend(value);
    }
    map
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut array = head(11, items.len());
    array.extend(items.concat());
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_formats_bytes() {
        // Examples of the format's own document.
        assert_eq!(text("en"), [0x42, b'e', b'n']);
        assert_eq!(uint16(28), [0xa2, 0, 28]);
        assert_eq!(uint64(1), [0x08, 0x02, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(array(&[text("a")]), [0x01, 0x04, 0x41, b'a']);
        assert_eq!(map(vec![("a", text("b"))]), [0xe1, 0x41, b'a', 0x41, b'b']);
        assert_eq!(text(&"x".repeat(30))[..2], [0x5d, 1]);
    }

    #[test]
    fn a_smaller_network_splits_a_larger_one() {
        let network = |address: &str, prefix_bits| Network {
            address: address.parse().unwrap(),
            prefix_bits,
            asn: 1,
            organisation: String::new(),
            domain: String::new(),
        };
        let mut tree = Tree::default();
        tree.insert(&network("8000::", 1), 7);
        tree.insert(&network("c000::", 2), 9);
        assert_eq!(tree.len(), 2);
        let words: Vec<u8> = tree.bytes();
        let words: Vec<u32> = words
            .chunks(4)
            .map(|word| u32::from_be_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [2, 1, 2 + 16 + 7, 2 + 16 + 9]);
    }
}
