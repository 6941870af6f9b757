//! What a backup says of itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use storage::backup::{Lsn, TableCount};

/// The form of manifests that this version writes, and the newest that it reads.
pub(crate) const FORM: u32 = 1;

/// What a backup is. Its tables' names and counts are readable without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this document.
    pub form: u32,
    /// The backup's name.
    pub id: String,
    /// Which server it is of.
    pub system_identifier: String,
    /// Its major version: only the same restores it.
    pub postgres_major: u32,
    /// The size of a segment of its log, in bytes.
    pub segment_bytes: u64,
    /// The database that was counted.
    pub database: String,
    /// Who counted, and is there again after restoring.
    pub role: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// From here on any instant can be restored that the log reaches.
    pub consistent_at: Timestamp,
    /// When the tables were counted.
    pub marked_at: Timestamp,
    /// The same as a place in the log.
    pub mark: Lsn,
    /// How long it took to make, in milliseconds.
    pub took_ms: u64,
    /// The first segment of the log that it needs.
    pub log_from: String,
    /// The last one that it needs for its mark.
    pub log_to: String,
    /// Whether its objects are encrypted.
    pub encrypted: bool,
    /// The copy of the server.
    pub base: Object,
    /// What was in each table at the mark.
    pub tables: Vec<TableCount>,
}

/// A large object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name within the backup.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// How many bytes it has uncompressed.
    pub plain_bytes: u64,
}

/// That a backup was restored and found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When.
    pub verified_at: Timestamp,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// How many tables were compared.
    pub tables: u64,
    /// How many rows they had.
    pub rows: u64,
}

impl Manifest {
    pub(crate) fn path(id: &str) -> String {
        format!("base/{id}/manifest.json")
    }

    pub(crate) fn base_path(&self) -> String {
        format!("base/{}/{}", self.id, self.base.name)
    }

    /// How many rows were in all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

impl Proof {
    pub(crate) fn path(id: &str) -> String {
        format!("base/{id}/proof.json")
    }
}

/// What of `found` is not as `expected`, in a few words; nothing: they are equal.
pub(crate) fn difference(expected: &[TableCount], found: &[TableCount]) -> Option<String> {
    let named = |table: &str| found.iter().find(|it| it.table == table);
    for table in expected {
        let name = &table.table;
        match named(name) {
            None => return Some(format!("table {name} is missing")),
            Some(it) if it.rows != table.rows => {
                return Some(format!(
                    "{name} has {} rows instead of {}",
                    it.rows, table.rows
                ));
            }
            Some(it) if it.checksum != table.checksum => {
                return Some(format!("the rows of {name} have other contents"));
            }
            Some(_) => {}
        }
    }
    (found.len() > expected.len()).then(|| "there are tables that were not there".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_found() {
        let table = |table: &str, rows, checksum: &str| TableCount {
            table: table.to_owned(),
            rows,
            checksum: checksum.to_owned(),
        };
        let was = [table("a.b", 1, "5"), table("a.c", 2, "6")];
        assert_eq!(difference(&was, &was), None);
        for (found, word) in [
            (vec![was[0].clone()], "a.c is missing"),
            (
                vec![was[0].clone(), table("a.c", 3, "6")],
                "3 rows instead of 2",
            ),
            (vec![was[0].clone(), table("a.c", 2, "7")], "other contents"),
            (
                vec![was[0].clone(), was[1].clone(), table("a.d", 0, "0")],
                "not there",
            ),
        ] {
            assert!(difference(&was, &found).unwrap().contains(word), "{word}");
        }
    }
}
