//! A joining player that begins in the past is sent what lies between, faster
//! than live, until it is there.
//!
//! A few packets at a time: no burst that a bottleneck would drop, and never
//! more than the player's free buffer takes. Meanwhile nothing newer goes to it,
//! so it sees no gap; what its publisher's leg repairs behind the place reached
//! goes to it at once, as to everybody.

use std::time::{Duration, Instant};

use crate::output::Output;
use crate::player::{Passing, Player, Source};

/// From one portion to the next.
const INTERVAL: Duration = Duration::from_millis(2);
/// How much faster than live.
const SPEED: u32 = 4;
/// Packets of a portion: 42 Mbit/s at least, 670 Mbit/s at most.
const PORTION_MIN: u32 = 8;
const PORTION_MAX: u32 = 128;

/// How far a player that catches up is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CatchUp {
    /// The next packet it is sent.
    pub(crate) next_index: u64,
    /// When.
    pub(crate) at: Instant,
}

impl Player {
    /// Sends the portion that is due.
    pub(crate) fn catch_up(&mut self, now: Instant, source: Source<'_>, output: &mut Output) {
        let Some(mut catch_up) = self.catch_up.filter(|catch_up| catch_up.at <= now) else {
            return;
        };
        let live = source.publisher.map_or(0, |publisher| {
            publisher.receiver.rate().packets_per_second(now)
        });
        let portion = live.saturating_mul(SPEED) / (1_000_000 / INTERVAL.as_micros() as u32);
        let mut left = u64::from(portion.clamp(PORTION_MIN, PORTION_MAX)).min(self.sender.room());
        while left > 0 && catch_up.next_index < source.live_index && output.has_spare() {
            left -= 1;
            let index = catch_up.next_index;
            catch_up.next_index += 1;
            // It counts as live now: `forward` lets it through.
            self.catch_up = Some(catch_up);
            if let Some(stored) = source.ring.packet(index)
                && let Some(payload) = output.stage(stored.payload)
            {
                let packet = Passing {
                    index,
                    timestamp: stored.timestamp,
                    retransmitted: false,
                    payload,
                };
                self.forward(now, packet, output);
            }
        }
        catch_up.at = now + INTERVAL;
        self.catch_up = (catch_up.next_index < source.live_index).then_some(catch_up);
    }
}
