//! When it pays to wait a moment, so that more datagrams come together.
//!
//! A wake-up costs as much as several datagrams. While many come, the thread
//! lets them gather for a bounded moment and takes them all at once; while few
//! come, it is woken by each and adds no delay at all.

use std::time::{Duration, Instant};

/// How long the rate is observed before it is believed.
const WINDOW: Duration = Duration::from_millis(4);
/// Waiting begins when this many datagrams would gather in the longest pause…
const GATHERED_MIN: f64 = 3.0;
/// …and ends when fewer than this would.
const GATHERED_STOP: f64 = 1.5;
/// More at once saves little more.
const GATHERED_ENOUGH: f64 = 24.0;

/// Decides from the rate of the last few milliseconds.
#[derive(Debug)]
pub(crate) struct Pace {
    pause_max: Duration,
    pause: Option<Duration>,
    window_start: Instant,
    datagrams: usize,
}

impl Pace {
    /// Pauses of `pause_max` at most; zero means never.
    pub(crate) const fn new(pause_max: Duration, now: Instant) -> Self {
        Self {
            pause_max,
            pause: None,
            window_start: now,
            datagrams: 0,
        }
    }

    /// Notes a turn that took so many datagrams. Returns how long to let the
    /// next ones gather; `None`: wait for the first.
    pub(crate) fn next(&mut self, now: Instant, datagrams: usize) -> Option<Duration> {
        self.datagrams += datagrams;
        let observed = now.saturating_duration_since(self.window_start);
        if observed >= WINDOW {
            self.decide(self.datagrams as f64 / observed.as_secs_f64());
            self.window_start = now;
            self.datagrams = 0;
        }
        self.pause
    }

    fn decide(&mut self, per_second: f64) {
        let gathered = per_second * self.pause_max.as_secs_f64();
        let least = match self.pause {
            Some(_) => GATHERED_STOP,
            None => GATHERED_MIN,
        };
        self.pause = (gathered >= least).then(|| {
            let enough = Duration::from_secs_f64(GATHERED_ENOUGH / per_second);
            enough.min(self.pause_max)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE_MAX: Duration = Duration::from_micros(300);

    /// The pause after a tenth of a second of datagrams that come one by one.
    fn pause_at(per_second: u32) -> Option<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(PAUSE_MAX, start);
        let mut pause = None;
        for number in 0..per_second / 10 {
            let at = Duration::from_secs(1) * number / per_second;
            pause = pace.next(start + at, 1);
        }
        pause
    }

    #[test]
    fn a_quiet_socket_is_never_waited_on() {
        assert_eq!(pause_at(800), None);
        assert_eq!(pause_at(8_000), None);
    }

    #[test]
    fn a_busy_one_is_and_a_very_busy_one_for_less() {
        assert_eq!(pause_at(40_000), Some(PAUSE_MAX));
        let pause = pause_at(400_000).unwrap();
        assert!((50..70).contains(&pause.as_micros()), "{pause:?}");
    }

    #[test]
    fn it_stops_when_the_rate_has_fallen_well_below() {
        let start = Instant::now();
        let mut pace = Pace::new(PAUSE_MAX, start);
        let at = |ms| start + Duration::from_millis(ms);
        assert!(pace.next(at(10), 120).is_some());
        assert!(pace.next(at(20), 60).is_some(), "two in a pause still pay");
        assert_eq!(pace.next(at(30), 20), None);
        assert_eq!(pace.next(at(40), 60), None);
    }

    #[test]
    fn zero_switches_it_off() {
        let start = Instant::now();
        let mut pace = Pace::new(Duration::ZERO, start);
        assert_eq!(pace.next(start + WINDOW, 1_000_000), None);
    }
}
