//! An operator's ASN database: a file in the MaxMind DB format.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;

/// A larger file is no ASN database: GeoLite2 ASN has 10 MB, IPinfo Lite 60.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// A longer name is cut: reports bound their texts.
const NAME_BYTES_MAX: usize = 128;

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is larger than 512 MiB")]
    TooLarge,
    #[error("is no MaxMind DB file: {0}")]
    Format(#[from] MaxMindDbError),
}

/// A database in memory: replacing or shortening its file cannot hurt it.
pub(crate) struct Database(Reader<Vec<u8>>);

/// Who announces an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) organisation: Option<String>,
    pub(crate) asn: Option<u32>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    modified: SystemTime,
    length: u64,
}

/// The fields of GeoLite2 ASN and of IPinfo Lite; others are skipped.
#[derive(Deserialize)]
struct Row<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
    asn: Option<&'a str>,
    as_name: Option<&'a str>,
    as_domain: Option<&'a str>,
}

impl Database {
    /// Reads a file; blocks.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        Ok(Self(Reader::from_source(bytes)?))
    }

    /// When it was made, Unix seconds.
    pub(super) fn built_at(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    /// What it calls itself.
    pub(super) fn kind(&self) -> &str {
        &self.0.metadata().database_type
    }

    /// Who announces an address; nobody, when the database has no such row or one
    /// that cannot be read.
    pub(super) fn look_up(&self, address: IpAddr) -> Owner {
        let found = self.0.lookup(address);
        let row = found.and_then(|found| found.decode::<Row<'_>>());
        row.ok().flatten().map(Row::owner).unwrap_or_default()
    }
}

impl Row<'_> {
    fn owner(self) -> Owner {
        let names = [
            self.autonomous_system_organization,
            self.as_name,
            self.as_domain,
        ];
        let number = || self.asn?.strip_prefix("AS")?.parse().ok();
        Owner {
            organisation: names.into_iter().flatten().find_map(readable),
            asn: self.autonomous_system_number.or_else(number),
        }
    }
}

/// A name to show: one line, not too long; none when nothing is left.
fn readable(name: &str) -> Option<String> {
    let name = name.trim();
    let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    (!name.is_empty()).then_some(name)
}

/// The file's state now; blocks.
pub(super) fn version(path: &Path) -> io::Result<Version> {
    let metadata = std::fs::metadata(path)?;
    Ok(Version {
        modified: metadata.modified()?,
        length: metadata.len(),
    })
}

#[cfg(test)]
mod tests {
    use testkit::asn_database::{Dialect, Network, carriers, write};

    use super::*;

    fn database(dialect: Dialect, networks: &[Network]) -> Database {
        Database(Reader::from_source(write(dialect, networks)).unwrap())
    }

    fn owner(database: &Database, address: &str) -> Owner {
        database.look_up(address.parse().unwrap())
    }

    #[test]
    fn both_dialects_say_who_announces_an_address() {
        for dialect in [Dialect::GeoLite2Asn, Dialect::IpinfoLite] {
            let database = database(dialect, &carriers());
            database.0.verify().unwrap();
            for (address, organisation, asn) in [
                ("127.0.1.0", "T-Mobile", 21_928),
                ("127.0.2.255", "Verizon", 22_394),
                ("fd00:0:3::9", "Cox", 22_773),
                ("127.0.4.1", "Starlink", 14_593),
            ] {
                let owner = owner(&database, address);
                assert_eq!(owner.organisation.as_deref(), Some(organisation));
                assert_eq!(owner.asn, Some(asn));
            }
            for address in ["127.0.0.1", "127.0.7.1", "::1", "8.8.8.8", "2600::1"] {
                assert_eq!(owner(&database, address), Owner::default(), "{address}");
            }
        }
    }

    #[test]
    fn names_are_made_readable() {
        let named = |organisation: &str, domain: &str| {
            let network = Network {
                address: "192.0.2.0".parse().unwrap(),
                prefix_bits: 24,
                asn: 64_500,
                organisation: organisation.to_owned(),
                domain: domain.to_owned(),
            };
            let database = database(Dialect::IpinfoLite, &[network]);
            owner(&database, "192.0.2.1").organisation
        };
        assert_eq!(named(" a\u{1b}[31m\nb ", ""), Some("a[31mb".to_owned()));
        assert_eq!(named("", "example.net"), Some("example.net".to_owned()));
        assert_eq!(named(" ", "\n"), None);
        let long = named(&"é".repeat(100), "").unwrap();
        assert_eq!(long.len(), NAME_BYTES_MAX);
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("asn.mmdb");
        assert!(matches!(Database::read(&path), Err(Error::Io(_))));
        let whole = write(Dialect::GeoLite2Asn, &carriers());
        for broken in [&b"not a database"[..], &whole[..whole.len() / 2], &[]] {
            std::fs::write(&path, broken).unwrap();
            assert!(matches!(Database::read(&path), Err(Error::Format(_))));
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(Database::read(&path).unwrap().kind(), "GeoLite2-ASN");
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let whole = write(Dialect::GeoLite2Asn, &carriers());
        for place in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] ^= flip;
                if let Ok(reader) = Reader::from_source(damaged) {
                    let database = Database(reader);
                    for address in ["127.0.1.1", "fd00:0:2::1", "8.8.8.8"] {
                        owner(&database, address);
                    }
                }
            }
        }
    }
}
