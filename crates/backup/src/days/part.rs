//! What the archive says of a part of a day.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Written;
use crate::seal::extension;

/// The form of manifests that this version writes, and the newest that it reads.
pub(super) const FORM: u32 = 1;

/// What one object holds: rows of one kind and day, as NDJSON. A day has as many parts as times that some
/// of its rows retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The form of this document.
    pub form: u32,
    /// What the rows are: `events`, `session_10s`, `session_1m`.
    pub kind: String,
    /// Their day, UTC.
    pub day: Date,
    /// The object's name, without its directory.
    pub object: String,
    /// How many rows it has, a line each.
    pub rows: u64,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// How many bytes it has uncompressed.
    pub plain_bytes: u64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// When the rows were taken out of the database's tables.
    pub retired_at: Timestamp,
    /// When they were stored.
    pub stored_at: Timestamp,
}

impl Part {
    /// What was written as `object`, of a kind and day.
    #[must_use]
    pub fn new(
        (kind, day): (&str, Date),
        object: &str,
        written: &Written,
        (retired_at, stored_at): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            form: FORM,
            kind: kind.to_owned(),
            day,
            object: object.to_owned(),
            rows: written.rows,
            bytes: written.bytes,
            sha256: written.sha256.clone(),
            plain_bytes: written.plain_bytes,
            encrypted: object.ends_with(extension(true)),
            retired_at,
            stored_at,
        }
    }

    /// Where the object is.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", directory(&self.kind, self.day), self.object)
    }

    /// Where this document is.
    pub(super) fn manifest_path(&self) -> String {
        let stem = self.object.split('.').next().unwrap_or(&self.object);
        format!("{}/{stem}.json", directory(&self.kind, self.day))
    }
}

/// Where the days of a kind are.
pub(super) fn kind_directory(kind: &str) -> String {
    format!("telemetry/{kind}")
}

/// Where the parts of a day are.
pub(super) fn directory(kind: &str, day: Date) -> String {
    format!("{}/{day}", kind_directory(kind))
}

/// The day that an object or its manifest is of.
pub(super) fn day_of(path: &str) -> Option<Date> {
    path.rsplit('/').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_and_its_manifest_stand_side_by_side() {
        let written = Written {
            rows: 1,
            bytes: 1,
            plain_bytes: 1,
            sha256: String::new(),
        };
        let day = jiff::civil::date(2026, 2, 3);
        let object = "42-0a1b2c3d.ndjson.zst.age";
        let part = Part::new(
            ("events", day),
            object,
            &written,
            (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        );
        assert!(part.encrypted);
        let directory = "telemetry/events/2026-02-03";
        assert_eq!(part.path(), format!("{directory}/{}", part.object));
        assert_eq!(day_of(&part.path()), Some(day));
        assert_eq!(day_of("telemetry/events/lost+found/x.json"), None);
        assert_eq!(
            part.manifest_path(),
            format!("{directory}/42-0a1b2c3d.json")
        );
    }
}
