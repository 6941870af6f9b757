//! The two latencies of a connection.

/// How long a packet stays in the receiver's buffer, for each direction, as one side sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// For what the side that speaks receives.
    pub receive_ms: u16,
    /// For what it sends: the least it asks of its peer's buffer.
    pub send_ms: u16,
}

impl Latency {
    /// The same latency both ways.
    pub const fn both(latency_ms: u16) -> Self {
        Self {
            receive_ms: latency_ms,
            send_ms: latency_ms,
        }
    }

    /// What the other side decides when it wants at least `own`: for each direction the longer wish.
    pub fn answer(self, own: Self) -> Self {
        Self {
            receive_ms: own.receive_ms.max(self.send_ms),
            send_ms: own.send_ms.max(self.receive_ms),
        }
    }

    pub(super) const fn from_word(word: u32) -> Self {
        Self {
            receive_ms: (word >> 16) as u16,
            send_ms: word as u16,
        }
    }

    pub(super) const fn to_word(self) -> u32 {
        (self.receive_ms as u32) << 16 | self.send_ms as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_wish_wins_in_each_direction() {
        let caller = Latency {
            receive_ms: 120,
            send_ms: 2000,
        };
        let ours = Latency {
            receive_ms: 500,
            send_ms: 300,
        };
        assert_eq!(
            caller.answer(ours),
            Latency {
                receive_ms: 2000,
                send_ms: 300
            }
        );
    }
}
