//! How long packets travel, as far as one clock can tell: differences only.

use std::time::{Duration, Instant};

use srt::Timestamp;

/// Smoothing: a sixteenth of what is new, as RFC 3550 does for jitter.
const GAIN: i64 = 16;
/// A sample further off than this is no delay but another timeline.
const OFFSET_MAX_US: i64 = 10_000_000;
/// Samples before an estimate is believed.
const SAMPLES_MIN: u32 = 8;

/// What the travel times of a group are counted from: its first packet's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reference(Option<u32>);

impl Reference {
    /// Microseconds that a packet travelled longer than the first one did. `elapsed` is on the
    /// receiver's clock, from any fixed point.
    pub(crate) fn transit_us(&mut self, elapsed: Duration, sent: Timestamp) -> Option<i64> {
        let raw = (elapsed.as_micros() as u32).wrapping_sub(sent.0);
        let reference = *self.0.get_or_insert(raw);
        let transit_us = i64::from(raw.wrapping_sub(reference).cast_signed());
        (transit_us.abs() <= OFFSET_MAX_US).then_some(transit_us)
    }
}

/// A link's travel time and its jitter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Transit {
    samples: u32,
    last_us: i64,
    /// In sixteenths of a microsecond.
    mean: i64,
    jitter: i64,
}

impl Transit {
    pub(crate) fn sample(&mut self, transit_us: i64) {
        if self.samples == 0 {
            self.mean = transit_us * GAIN;
        } else {
            let difference = (transit_us - self.last_us).abs();
            self.jitter += difference - self.jitter / GAIN;
            self.mean += transit_us - self.mean / GAIN;
        }
        self.samples = self.samples.saturating_add(1);
        self.last_us = transit_us;
    }

    /// The smoothed travel time, microseconds, once it means something.
    pub(crate) const fn mean_us(&self) -> Option<i64> {
        if self.samples < SAMPLES_MIN {
            return None;
        }
        Some(self.mean / GAIN)
    }

    /// Interarrival jitter (RFC 3550, section 6.4.1), microseconds.
    pub(crate) const fn jitter_us(&self) -> u32 {
        (self.jitter / GAIN) as u32
    }
}

/// How far along a link is, to tell whether a missing packet may still be on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The newest data packet that it delivered; `None` when it delivered none yet.
    pub newest: Option<srt::Seq>,
    /// When it last delivered data; before that, when it began.
    pub data_at: Instant,
    /// How much longer its packets travel than the group's first one did, microseconds; `None`
    /// until there are enough of them.
    pub transit_us: Option<i64>,
    /// Interarrival jitter, microseconds.
    pub jitter_us: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_is_counted_from_the_first_packet_and_survives_both_wraps() {
        let mut reference = Reference::default();
        let sent_us = u64::from(u32::MAX) - 500;
        for step in 0..10 {
            let sent = Timestamp((sent_us + step * 1000) as u32);
            let late_us = step * 10;
            let arrived = Duration::from_micros(u64::from(u32::MAX) - 4000 + step * 1000 + late_us);
            let transit = reference.transit_us(arrived, sent);
            assert_eq!(transit, Some(late_us.cast_signed()));
        }
    }

    #[test]
    fn another_timeline_is_no_delay() {
        let mut reference = Reference::default();
        assert_eq!(reference.transit_us(Duration::ZERO, Timestamp(0)), Some(0));
        let transit = reference.transit_us(Duration::ZERO, Timestamp(60_000_000));
        assert_eq!(transit, None);
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut transit = Transit::default();
        for step in 0..400 {
            transit.sample(if step % 2 == 0 { 20_000 } else { 24_000 });
        }
        let mean_us = transit.mean_us().unwrap();
        assert!((21_500..22_500).contains(&mean_us), "{mean_us}");
        let jitter_us = transit.jitter_us();
        assert!((3900..=4000).contains(&jitter_us), "{jitter_us}");
        let mut steady = Transit::default();
        (0..SAMPLES_MIN - 1).for_each(|_| steady.sample(-70));
        assert_eq!(steady.mean_us(), None, "too few");
        steady.sample(-70);
        assert_eq!((steady.mean_us(), steady.jitter_us()), (Some(-70), 0));
    }
}
