//! Places in a server's log.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place in a server's log: how many bytes come before it. As text, `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// A text that names no place.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no place in a log: {0}")]
pub struct InvalidLsn(String);

impl Lsn {
    /// The first segment boundary that is not before this place.
    #[must_use]
    pub const fn round_up(self, segment_bytes: u64) -> Self {
        Self(self.0.div_ceil(segment_bytes) * segment_bytes)
    }

    /// The last segment boundary that is not after this place.
    #[must_use]
    pub const fn round_down(self, segment_bytes: u64) -> Self {
        Self(self.0 / segment_bytes * segment_bytes)
    }
}

impl Display for Lsn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let parse = || {
            let (high, low) = text.split_once('/')?;
            let half = |digits| u32::from_str_radix(digits, 16).ok();
            Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
        };
        parse().map(Self).ok_or_else(|| InvalidLsn(text.to_owned()))
    }
}

impl TryFrom<String> for Lsn {
    type Error = InvalidLsn;

    fn try_from(text: String) -> Result<Self, InvalidLsn> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_the_server_writes_them() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!(lsn, Lsn(0x16_B374_D848));
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert_eq!("0/0".parse(), Ok(Lsn(0)));
        for wrong in ["", "16", "16/", "/1", "x/1", "1/123456789"] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_boundary_is_its_own_neighbour() {
        let segment = 16 << 20;
        assert_eq!(Lsn(1).round_up(segment), Lsn(segment));
        assert_eq!(Lsn(segment).round_up(segment), Lsn(segment));
        assert_eq!(Lsn(segment + 1).round_down(segment), Lsn(segment));
    }
}
