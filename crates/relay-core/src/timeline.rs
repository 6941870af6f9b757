//! A stream's timeline: its publishers' clocks, one after the other, as one
//! clock without a jump.
//!
//! Everything that is sent to players lives on it. Data keeps the distance that
//! the publisher gave it; control packets are stamped with the timeline's
//! *now*, which follows the publisher's clock as it drifts from ours. A player's
//! own drift tracer sees that and follows, so its latency stays what it was.
//!
//! ```text
//! publisher's timestamp ──+ offset_us (constant per publisher)──▶ timeline ◀── now + drift
//! ```

use std::time::{Duration, Instant};

use srt::Timestamp;

use crate::saved::SavedTimeline;

/// The clock is compared once in such a time, by the quickest round trip in it.
const DRIFT_WINDOW: Duration = Duration::from_secs(5);
/// A comparison further off than this is no drift but a broken clock.
const DRIFT_STEP_MAX_US: i64 = 1_000_000;
/// A handshake that took longer than this above the quickest packet is not
/// corrected further.
const REFINE_MAX_US: i64 = 200_000;

#[derive(Debug)]
pub(crate) struct Timeline {
    anchor_at: Instant,
    anchor_us: i64,
    offset_us: i64,
    refined_us: i64,
    /// What the publisher's clock gained on ours.
    drift_us: i64,
    drift: Drift,
}

/// The comparison under way.
#[derive(Debug)]
struct Drift {
    window_start: Instant,
    best: Option<Comparison>,
    reference_us: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Comparison {
    round_trip: Duration,
    deviation_us: i64,
}

impl Timeline {
    /// Begins with a publisher's first packet.
    pub(crate) fn new(now: Instant, publisher: Timestamp) -> Self {
        let mut timeline = Self {
            anchor_at: now,
            anchor_us: 0,
            offset_us: 0,
            refined_us: 0,
            drift_us: 0,
            drift: Drift::new(now),
        };
        timeline.continue_with(now, publisher);
        timeline
    }

    pub(crate) fn save(&self, now: Instant) -> SavedTimeline {
        SavedTimeline {
            now_us: self.now_us(now),
            offset_us: self.offset_us,
        }
    }

    /// Goes on where it was `away` ago.
    pub(crate) fn resume(now: Instant, away: Duration, saved: SavedTimeline) -> Self {
        let away_us = i64::try_from(away.as_micros()).unwrap_or(0);
        Self {
            anchor_us: saved.now_us.saturating_add(away_us),
            offset_us: saved.offset_us,
            ..Self::new(now, Timestamp(0))
        }
    }

    /// Goes on with another publisher's clock from `now`.
    pub(crate) fn continue_with(&mut self, now: Instant, publisher: Timestamp) {
        self.offset_us = self.now_us(now) - i64::from(publisher.0);
        (self.refined_us, self.drift_us) = (0, 0);
        self.drift = Drift::new(now);
    }

    /// The time on the timeline, in 64 bits.
    pub(crate) fn now_us(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.anchor_at);
        self.anchor_us + i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX / 2)
    }

    /// The time on the timeline, as packets carry it.
    pub(crate) fn now(&self, now: Instant) -> Timestamp {
        Timestamp(self.now_us(now) as u32)
    }

    /// How far the publisher's clock has run ahead of ours, as far as it is
    /// known.
    pub(crate) const fn drift_us(&self) -> i64 {
        self.drift_us
    }

    /// The publisher's timestamp on the timeline.
    pub(crate) fn place(&self, publisher: Timestamp) -> Timestamp {
        publisher.shifted_us(self.offset_us)
    }

    /// How long ago `placed` was; negative when it is still to come.
    pub(crate) fn age_us(&self, now: Instant, placed: Timestamp) -> i64 {
        i64::from(self.now(now).offset_us(placed))
    }

    /// When a packet is due that is played `latency` after it was made. Never
    /// later than `latency` from now: it has been made already.
    pub(crate) fn due(&self, now: Instant, placed: Timestamp, latency: Duration) -> Instant {
        let age = Duration::from_micros(self.age_us(now, placed).max(0).unsigned_abs());
        now + latency.saturating_sub(age)
    }

    /// When it is `placed` on the timeline: now, when it was, and never later
    /// than `most` from now.
    pub(crate) fn instant_of(&self, now: Instant, placed: Timestamp, most: Duration) -> Instant {
        let ahead_us = self.age_us(now, placed).min(0).unsigned_abs();
        now + Duration::from_micros(ahead_us).min(most)
    }

    /// Corrects the first sample of the publisher's clock, the handshake, by a
    /// packet that came quicker. Only while no player lives on the timeline.
    pub(crate) fn refine(&mut self, now: Instant, placed: Timestamp) {
        let early_us = -self.age_us(now, placed);
        if early_us > 0 && self.refined_us + early_us <= REFINE_MAX_US {
            self.refined_us += early_us;
            self.offset_us -= early_us;
            self.drift.shift(early_us);
        }
    }

    /// Compares the clocks by a packet that the publisher sent at `publisher`,
    /// half a `round_trip` ago.
    pub(crate) fn compare(&mut self, now: Instant, publisher: Timestamp, round_trip: Duration) {
        let half_us = i64::try_from(round_trip.as_micros() / 2).unwrap_or(i64::MAX);
        let deviation_us = self
            .age_us(now, self.place(publisher))
            .saturating_sub(half_us);
        if deviation_us.abs() > DRIFT_STEP_MAX_US {
            return;
        }
        self.drift.offer(Comparison {
            round_trip,
            deviation_us,
        });
        if let Some(error_us) = self.drift.close_window(now) {
            self.anchor_us -= error_us;
            self.drift_us -= error_us;
        }
    }
}

impl Drift {
    const fn new(now: Instant) -> Self {
        Self {
            window_start: now,
            best: None,
            reference_us: None,
        }
    }

    /// The quickest round trip waited least in queues: it is the truest.
    fn offer(&mut self, comparison: Comparison) {
        if self
            .best
            .is_none_or(|best| comparison.round_trip < best.round_trip)
        {
            self.best = Some(comparison);
        }
    }

    /// Keeps earlier comparisons true after the publisher's offset was lowered by
    /// `us`: that was no drift.
    fn shift(&mut self, us: i64) {
        if let Some(best) = &mut self.best {
            best.deviation_us += us;
        }
        if let Some(reference_us) = &mut self.reference_us {
            *reference_us += us;
        }
    }

    /// How far the clocks moved apart since the first window, once a window is over.
    fn close_window(&mut self, now: Instant) -> Option<i64> {
        if now.saturating_duration_since(self.window_start) < DRIFT_WINDOW {
            return None;
        }
        self.window_start = now;
        let best = self.best.take()?;
        let reference_us = *self.reference_us.get_or_insert(best.deviation_us);
        Some(best.deviation_us - reference_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_new_publisher_continues_where_the_old_one_was() {
        let start = start();
        let mut timeline = Timeline::new(start, Timestamp(5_000_000));
        assert_eq!(timeline.place(Timestamp(5_000_100)), Timestamp(100));
        timeline.continue_with(start + SECOND, Timestamp(77));
        assert_eq!(timeline.place(Timestamp(87)), Timestamp(1_000_010));
    }

    #[test]
    fn due_times_cross_the_wrap() {
        let start = start();
        let timeline = Timeline::new(start, Timestamp(u32::MAX - 999));
        let placed = timeline.place(Timestamp(1_000));
        let now = start + Duration::from_micros(3_000);
        assert_eq!(timeline.age_us(now, placed), 1_000);
        let due = timeline.due(now, placed, Duration::from_micros(1_500));
        assert_eq!(due, now + Duration::from_micros(500));
    }

    #[test]
    fn a_quicker_packet_corrects_the_handshake() {
        let start = start();
        let mut timeline = Timeline::new(start, Timestamp(0));
        let placed = timeline.place(Timestamp(30_000));
        timeline.refine(start + Duration::from_millis(20), placed);
        let placed = timeline.place(Timestamp(30_000));
        assert_eq!(
            timeline.age_us(start + Duration::from_millis(20), placed),
            0
        );
    }

    #[test]
    fn a_correction_is_not_taken_for_drift() {
        let start = start();
        let late = Duration::from_millis(50);
        let mut timeline = Timeline::new(start + late, Timestamp(0));
        let compare = |timeline: &mut Timeline, at: Duration| {
            let sent = Timestamp(at.as_micros() as u32);
            timeline.compare(start + at, sent, Duration::ZERO);
        };
        for seconds in 1..=6 {
            compare(&mut timeline, SECOND * seconds);
        }
        let (now, sent) = (start + SECOND * 7, Timestamp(7_000_000));
        compare(&mut timeline, SECOND * 7);
        let before = timeline.now_us(now);
        timeline.refine(now, timeline.place(sent));
        for seconds in 8..=20 {
            compare(&mut timeline, SECOND * seconds);
        }
        assert_eq!(timeline.now_us(now), before);
        assert_eq!(timeline.age_us(now, timeline.place(sent)), 0);
    }

    #[test]
    fn the_timeline_follows_a_slow_publisher_and_ignores_queues() {
        let start = start();
        let mut timeline = Timeline::new(start, Timestamp(0));
        let slow = |at: Duration| Timestamp((at.as_micros() * 998 / 1000) as u32);
        for step in 0..6000u32 {
            let at = Duration::from_millis(10) * step;
            let queue = Duration::from_millis(u64::from(step % 7) * 20);
            let round_trip = Duration::from_millis(40) + queue;
            let now = start + at + Duration::from_millis(20) + queue;
            timeline.compare(now, slow(at), round_trip);
        }
        let end = Duration::from_secs(60);
        let age = timeline.age_us(start + end, timeline.place(slow(end)));
        assert!(age.abs() < 25_000, "the timeline is {age} µs off");
    }
}
