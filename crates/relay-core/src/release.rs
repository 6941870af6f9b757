//! Buffered delivery: packets go on in order, each at the time it is due by the
//! publisher's clock and latency (TSBPD, draft-sharabayko-srt-01 section 4.5).
//!
//! Packets wait in the stream's ring, under the time of their release instead
//! of the time they were made: to the players it looks as if the publisher were
//! that much later. What is still missing when the packet behind it is due is
//! skipped (too-late packet drop, section 4.6).

use std::time::{Duration, Instant};

use srt::Timestamp;

use crate::output::Output;
use crate::stream::Stream;

/// Packets released, and places stepped over, in one turn.
const STEPS_PER_TURN: usize = 1024;

/// Where a buffered stream's delivery is.
#[derive(Debug)]
pub(crate) struct Release {
    /// The next place to go on to the players.
    pub(crate) next_index: u64,
    /// From when a packet was made to when it goes on.
    pub(crate) delay: Duration,
    /// When something is due.
    at: Option<Instant>,
}

impl Release {
    pub(crate) const fn new(next_index: u64, delay: Duration) -> Self {
        Self {
            next_index,
            delay,
            at: None,
        }
    }

    pub(crate) const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// The time on the timeline at which a packet made at `placed` goes on.
    pub(crate) fn time_of(&self, placed: Timestamp) -> Timestamp {
        placed.shifted_us(i64::try_from(self.delay.as_micros()).unwrap_or(i64::MAX))
    }

    /// Has the next release looked for at `at`, if not sooner.
    pub(crate) fn wake_by(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |planned| planned.min(at)));
    }
}

impl Stream {
    /// Sends on what is due, in order, and plans the next release.
    pub(crate) fn release(&mut self, now: Instant, output: &mut Output) {
        for _ in 0..STEPS_PER_TURN {
            let Some(release) = &mut self.release else {
                return;
            };
            let index = release.next_index;
            if index >= self.next_index {
                release.at = None;
                return;
            }
            let gap = self.publisher.as_ref().and_then(|p| p.gap(index));
            let (next_index, at) = if let Some(stored) = self.ring.packet(index) {
                let at = self
                    .timeline
                    .instant_of(now, stored.timestamp, release.delay);
                (index + 1, at)
            } else if let Some((last, deadline)) = gap {
                (last + 1, deadline)
            } else {
                (index + 1, now)
            };
            if at > now {
                release.at = Some(at);
                return;
            }
            release.next_index = next_index;
            self.pass_stored(now, index, output);
        }
        if let Some(release) = &mut self.release {
            release.at = Some(now);
        }
    }
}
