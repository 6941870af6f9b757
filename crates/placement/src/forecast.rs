//! How much a node will carry, from how much it carried at each hour of the week.

use model::UnixMillis;
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
const HOURS_PER_WEEK: usize = 168;
/// What a new week counts against the ones before.
const NEW_WEEK_RATIO: f64 = 0.4;
/// What a new hour counts in the level and the trend: half of a day's hours ago.
const NEW_HOUR_RATIO: f64 = 0.056;
/// A trend beyond this is an event, not a trend.
const TREND: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// The longest forecast: a month and a bit.
const HOURS_MAX: i64 = 24 * 32;

/// A node's usual week: one rate for each hour, UTC, and how the last day compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Bits a second of each hour of the week; none: not seen yet.
    hours: Vec<Option<u64>>,
    /// The recent rate, bits a second; stands in for hours not seen yet.
    level_bps: Option<f64>,
    /// What the recent hours had, and what had been expected of them, bits a second.
    recent: Recent,
    /// The hour that is being counted.
    open: Option<OpenHour>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Recent {
    actual_bps: f64,
    expected_bps: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct OpenHour {
    /// Hours since the epoch.
    number: i64,
    bytes: u64,
    counted_ms: i64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            hours: vec![None; HOURS_PER_WEEK],
            level_bps: None,
            recent: Recent::default(),
            open: None,
        }
    }
}

impl Profile {
    /// Counts the bytes of the time from `since` to `now`. They all fall into the hour of
    /// `now`.
    pub fn observe(&mut self, since: UnixMillis, now: UnixMillis, bytes: u64) {
        let number = now.0.div_euclid(HOUR_MS);
        let mut open = match self.open {
            Some(open) if open.number == number => open,
            Some(finished) => {
                self.close(finished);
                OpenHour::at(number)
            }
            None => OpenHour::at(number),
        };
        open.bytes = open.bytes.saturating_add(bytes);
        open.counted_ms = open
            .counted_ms
            .saturating_add(now.0.saturating_sub(since.0).max(0));
        self.open = Some(open);
    }

    /// Bytes expected from `from` to `to`, of which at most 32 days count.
    #[must_use]
    pub fn bytes(&self, from: UnixMillis, to: UnixMillis) -> u64 {
        let trend = self.trend();
        let first = from.0.div_euclid(HOUR_MS);
        let last = to.0.div_euclid(HOUR_MS).min(first + HOURS_MAX);
        let mut bits = 0.0;
        for number in first..=last {
            let begins = from.0.max(number * HOUR_MS);
            let ends = to.0.min((number + 1) * HOUR_MS);
            let seconds = (ends - begins).max(0) as f64 / 1000.0;
            bits += self.rate_bps(number, trend) * seconds;
        }
        (bits / 8.0) as u64
    }

    fn rate_bps(&self, number: i64, trend: f64) -> f64 {
        let level = || self.level_bps.unwrap_or(0.0);
        self.slot(number)
            .map_or_else(level, |bps| bps as f64 * trend)
    }

    fn slot(&self, number: i64) -> Option<u64> {
        self.hours.get(hour_of_week(number)).copied().flatten()
    }

    /// The last day compared with what had been expected of it.
    fn trend(&self) -> f64 {
        if self.recent.expected_bps < 1.0 {
            return 1.0;
        }
        let trend = self.recent.actual_bps / self.recent.expected_bps;
        trend.clamp(*TREND.start(), *TREND.end())
    }

    fn close(&mut self, hour: OpenHour) {
        if hour.counted_ms == 0 {
            return;
        }
        let actual = hour.bytes as f64 * 8000.0 / hour.counted_ms as f64;
        let expected = self.slot(hour.number).map(|bps| bps as f64);
        self.level_bps = Some(self.level_bps.map_or(actual, |level| blend(level, actual)));
        self.recent = Recent {
            actual_bps: blend(self.recent.actual_bps, actual),
            // What was not expected says nothing about the trend.
            expected_bps: blend(self.recent.expected_bps, expected.unwrap_or(actual)),
        };
        let usual = expected.map_or(actual, |expected| {
            expected + NEW_WEEK_RATIO * (actual - expected)
        });
        if let Some(slot) = self.hours.get_mut(hour_of_week(hour.number)) {
            *slot = Some(usual as u64);
        }
    }
}

impl OpenHour {
    const fn at(number: i64) -> Self {
        Self {
            number,
            bytes: 0,
            counted_ms: 0,
        }
    }
}

fn blend(before: f64, new: f64) -> f64 {
    before + NEW_HOUR_RATIO * (new - before)
}

fn hour_of_week(number: i64) -> usize {
    usize::try_from(number.rem_euclid(HOURS_PER_WEEK as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    /// Counts `bps(hour)` for so many hours, a minute at a time.
    fn after(hours: i64, bps: impl Fn(i64) -> u64) -> (Profile, UnixMillis) {
        let mut profile = Profile::default();
        for minute in 0..hours * 60 {
            let since = UnixMillis(minute * MINUTE_MS);
            profile.observe(
                since,
                UnixMillis(since.0 + MINUTE_MS - 1),
                bps(minute / 60) * 60 / 8,
            );
        }
        (profile, UnixMillis(hours * HOUR_MS))
    }

    fn off_by(actual: u64, expected: f64) -> f64 {
        (actual as f64 / expected - 1.0).abs()
    }

    #[test]
    fn nothing_is_expected_of_a_node_that_never_carried_anything() {
        assert_eq!(
            Profile::default().bytes(UnixMillis(0), UnixMillis(HOUR_MS)),
            0
        );
    }

    #[test]
    fn a_steady_node_is_expected_to_stay_so() {
        let (profile, now) = after(30, |_| 8_000_000);
        let bytes = profile.bytes(now, UnixMillis(now.0 + 100 * HOUR_MS));
        assert!(off_by(bytes, 100.0 * 3600.0 * 1e6) < 0.01, "{bytes}");
    }

    #[test]
    fn evenings_are_expected_where_they_were() {
        let evening = |hour: i64| (18..23).contains(&(hour % 24));
        let (profile, now) = after(
            24 * 14,
            |hour| {
                if evening(hour) { 80_000_000 } else { 8_000_000 }
            },
        );
        let day = |from: i64, to: i64| {
            profile.bytes(
                UnixMillis(now.0 + from * HOUR_MS),
                UnixMillis(now.0 + to * HOUR_MS),
            )
        };
        assert!(off_by(day(18, 23), 5.0 * 3600.0 * 1e7) < 0.02);
        assert!(off_by(day(0, 18), 18.0 * 3600.0 * 1e6) < 0.02);
    }

    #[test]
    fn a_day_of_twice_as_much_raises_the_rest_of_the_week() {
        let (mut profile, now) = after(24 * 14, |_| 8_000_000);
        for minute in 0..24 * 60 {
            let since = UnixMillis(now.0 + minute * MINUTE_MS);
            profile.observe(since, UnixMillis(since.0 + MINUTE_MS - 1), 120_000_000);
        }
        let now = UnixMillis(now.0 + 24 * HOUR_MS);
        let bytes = profile.bytes(now, UnixMillis(now.0 + 24 * HOUR_MS)) as f64;
        assert!(bytes > 1.5 * 24.0 * 3600.0 * 1e6, "{bytes}");
    }
}
