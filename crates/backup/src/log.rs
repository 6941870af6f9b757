//! The server's log as files: segments, and what they are called.

use storage::backup::Lsn;

/// Bytes of log per number in the middle of a segment's name.
const BYTES_PER_FILE_ID: u64 = 1 << 32;

/// A segment's name: 24 hexadecimal digits.
#[must_use]
pub(crate) fn segment_name(timeline: u32, lsn: Lsn, segment_bytes: u64) -> String {
    let (high, low) = (
        lsn.0 / BYTES_PER_FILE_ID,
        lsn.0 % BYTES_PER_FILE_ID / segment_bytes,
    );
    format!("{timeline:08X}{high:08X}{low:08X}")
}

/// Whether that is a segment's name.
pub(crate) fn is_segment(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    name.len() == 24 && name.bytes().all(digit)
}

/// The segment that an object holds.
pub(crate) fn segment_of(object: &str) -> Option<&str> {
    let (name, _) = object.split_once('.')?;
    is_segment(name).then_some(name)
}

/// How many segments come before one in its history.
pub(crate) fn number(segment: &str, segment_bytes: u64) -> Option<u64> {
    let part = |from: usize| u64::from_str_radix(segment.get(from..from + 8)?, 16).ok();
    Some(part(8)? * (BYTES_PER_FILE_ID / segment_bytes) + part(16)?)
}

/// Where an object with a segment is.
pub(crate) fn object(system_identifier: &str, object: &str) -> String {
    format!("log/{system_identifier}/{object}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    #[test]
    fn segments_are_called_as_the_server_calls_them() {
        let name = |lsn: &str| segment_name(1, lsn.parse().unwrap(), SEGMENT);
        assert_eq!(name("0/17FDCA80"), "000000010000000000000017");
        assert_eq!(name("2/FF000000"), "0000000100000002000000FF");
        assert_eq!(name("3/0"), "000000010000000300000000");
    }

    #[test]
    fn segments_are_numbered_across_their_names() {
        let of = |name: &str| number(name, SEGMENT).unwrap();
        assert_eq!(
            of("000000010000000300000000"),
            of("0000000100000002000000FF") + 1
        );
        assert_eq!(number("nonsense", SEGMENT), None);
    }

    #[test]
    fn only_whole_segments_are_segments() {
        assert!(is_segment("000000010000000000000017"));
        assert!(!is_segment("000000010000000000000017.partial"));
        assert!(!is_segment("00000002.history"));
        assert_eq!(
            segment_of("000000010000000000000017.zst.age"),
            Some("000000010000000000000017")
        );
        assert_eq!(segment_of("00000002.history.zst"), None);
    }
}
