//! A record on disk.
//!
//! ```text
//!  0               4               8                               16
//! +---------------+---------------+-------------------------------+------------- …
//! | length, LE    | CRC-32, LE    | when it came, Unix ms, LE     | payload
//! +---------------+---------------+-------------------------------+------------- …
//! ```
//!
//! The checksum (IEEE 802.3) is over everything but itself. No payload is empty, so that a hole
//! of zeros, which a file system may leave after a power cut, is no record.

use model::UnixMillis;

/// Bytes before a payload.
pub(super) const HEAD_LENGTH: usize = 16;
/// The largest payload.
const PAYLOAD_LENGTH_MAX: usize = 16 << 20;

/// A record as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) came_at: UnixMillis,
    pub(super) payload: &'a [u8],
}

/// The bytes of a record; none when it is empty or too large.
pub(super) fn write(came_at: UnixMillis, payload: &[u8]) -> Option<Vec<u8>> {
    if payload.is_empty() || payload.len() > PAYLOAD_LENGTH_MAX {
        return None;
    }
    let length = u32::try_from(payload.len()).ok()?.to_le_bytes();
    let time = came_at.0.to_le_bytes();
    let mut bytes = Vec::with_capacity(HEAD_LENGTH + payload.len());
    bytes.extend(length);
    bytes.extend(checksum(length, time, payload).to_le_bytes());
    bytes.extend(time);
    bytes.extend(payload);
    Some(bytes)
}

/// The first record of bytes and what follows it; none when they do not begin with a whole one.
pub(super) fn read(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let payload_length = u32::from_le_bytes(*length) as usize;
    if payload_length == 0 || payload_length > PAYLOAD_LENGTH_MAX {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(payload_length)?;
    if u32::from_le_bytes(*sum) != checksum(*length, *time, payload) {
        return None;
    }
    let came_at = UnixMillis(i64::from_le_bytes(*time));
    Some((Frame { came_at, payload }, rest))
}

/// What follows the first record of bytes by its own length, whatever else is wrong with it.
pub(super) fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let rest = rest.get(HEAD_LENGTH - length.len()..)?;
    rest.get(u32::from_le_bytes(*length) as usize..)
}

fn checksum(length: [u8; 4], time: [u8; 8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(&time);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(payload in prop::collection::vec(any::<u8>(), 1..99), at in any::<i64>()) {
            let mut bytes = write(UnixMillis(at), &payload).unwrap();
            bytes.extend(b"more");
            let frame = Frame { came_at: UnixMillis(at), payload: &payload };
            prop_assert_eq!(read(&bytes), Some((frame, &b"more"[..])));
        }

        #[test]
        fn one_that_is_torn_anywhere_is_none(payload in prop::collection::vec(any::<u8>(), 1..40)) {
            let bytes = write(UnixMillis(7), &payload).unwrap();
            for length in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..length]), None);
                // What the disk had there before may follow.
                let mut torn = bytes[..length].to_vec();
                torn.resize(bytes.len(), 0);
                prop_assert!(torn == bytes || read(&torn).is_none());
            }
        }

        #[test]
        fn one_with_a_wrong_bit_is_none(payload in prop::collection::vec(any::<u8>(), 1..40), bit in any::<prop::sample::Index>()) {
            let mut bytes = write(UnixMillis(7), &payload).unwrap();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&bytes), None);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn nothing_and_too_much_are_no_records() {
        assert_eq!(write(UnixMillis(0), &[]), None);
        assert_eq!(write(UnixMillis(0), &vec![0; PAYLOAD_LENGTH_MAX + 1]), None);
        assert_eq!(read(&[0; 64]), None);
    }
}
