//! The two small numbers that every packet carries: a socket id and a timestamp.

use std::fmt;
use std::time::Duration;

/// An SRT socket id. Zero addresses the listener itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

impl SocketId {
    /// The destination of a handshake: whoever listens.
    pub const LISTENER: Self = Self(0);
}

impl fmt::Display for SocketId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#010x}", self.0)
    }
}

/// Microseconds since the sending socket's start, in 32 bits that wrap every 71 min 35 s.
///
/// It has no `Ord`: compare with [`Timestamp::offset_us`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// The timestamp of a moment `elapsed` after the socket's start.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(elapsed.as_micros() as u32)
    }

    /// The timestamp `offset_us` microseconds later (or earlier, when negative).
    pub const fn shifted_us(self, offset_us: i64) -> Self {
        Self(self.0.wrapping_add(offset_us as u32))
    }

    /// Signed microseconds from `other` to this timestamp, the short way round.
    pub const fn offset_us(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_wrap() {
        let late = Timestamp(u32::MAX - 9);
        assert_eq!(late.shifted_us(20), Timestamp(10));
        assert_eq!(Timestamp(10).shifted_us(-20), late);
        assert_eq!(Timestamp(10).offset_us(late), 20);
        assert_eq!(late.offset_us(Timestamp(10)), -20);
        assert_eq!(
            Timestamp::after_start(Duration::from_micros(1 << 32)),
            Timestamp(0)
        );
    }
}
