//! When a provider's month begins and ends.

use jiff::civil::{self, Date};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use model::UnixMillis;
use serde::{Deserialize, Serialize};

/// When a provider's month begins: midnight of a day, on the provider's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Anchor {
    /// The day of the month, 1 to 31; a shorter month begins on its last day.
    pub day: i8,
    /// The IANA name of the provider's time zone.
    pub time_zone: String,
}

impl Default for Anchor {
    fn default() -> Self {
        Self {
            day: 1,
            time_zone: "UTC".to_owned(),
        }
    }
}

/// A span of time, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first millisecond.
    pub start: UnixMillis,
    /// The first millisecond after it.
    pub end: UnixMillis,
}

/// A time zone by its IANA name, from the data that is built in: the same on every machine.
pub(crate) fn time_zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

impl Anchor {
    /// The month that `now` is in; none when the time zone is unknown or the calendar ends.
    #[must_use]
    pub fn window(&self, now: UnixMillis) -> Option<Window> {
        let zone = time_zone(&self.time_zone)?;
        let today = Timestamp::from_millisecond(now.0)
            .ok()?
            .to_zoned(zone.clone())
            .date();
        let this = Date::new(today.year(), today.month(), 1).ok()?;
        let begins = |months: i32| self.begins(this, months, &zone);
        // What begins this month has begun already, or the month before has.
        let first = if begins(0)? <= now { 0 } else { -1 };
        Some(Window {
            start: begins(first)?,
            end: begins(first + 1)?,
        })
    }

    /// Where the provider's month begins that is `months` after `month`.
    fn begins(&self, month: Date, months: i32, zone: &TimeZone) -> Option<UnixMillis> {
        let month = month.checked_add(Span::new().months(months)).ok()?;
        let day = self.day.clamp(1, month.days_in_month());
        let midnight = Date::new(month.year(), month.month(), day)
            .ok()?
            .to_datetime(civil::Time::midnight());
        // A midnight that summer time leaves out is the first instant after it.
        let zoned = zone.to_ambiguous_zoned(midnight).compatible().ok()?;
        Some(UnixMillis(zoned.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn window(day: i8, zone: &str, now: &str) -> [String; 2] {
        let anchor = Anchor {
            day,
            time_zone: zone.to_owned(),
        };
        let window = anchor.window(at(now)).unwrap();
        [window.start, window.end].map(|at| Timestamp::from_millisecond(at.0).unwrap().to_string())
    }

    #[test]
    fn months_are_the_calendars() {
        let february = ["2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"];
        assert_eq!(window(1, "UTC", "2028-02-01T00:00:00Z"), february);
        assert_eq!(window(1, "UTC", "2028-02-29T23:59:59.999Z"), february);
        let over_the_year = ["2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z"];
        assert_eq!(window(15, "UTC", "2027-01-02T12:00:00Z"), over_the_year);
    }

    #[test]
    fn an_anniversary_on_the_31st_is_a_shorter_months_last_day() {
        let from_february = ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"];
        assert_eq!(window(31, "UTC", "2026-02-28T00:00:00Z"), from_february);
        assert_eq!(window(31, "UTC", "2026-03-30T23:59:59Z"), from_february);
        let to_february = ["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"];
        assert_eq!(window(31, "UTC", "2026-02-27T23:59:59Z"), to_february);
    }

    #[test]
    fn the_providers_clock_counts_with_its_summer_time() {
        let march = ["2026-03-01T06:00:00Z", "2026-04-01T05:00:00Z"];
        assert_eq!(window(1, "America/Chicago", "2026-03-01T06:00:00Z"), march);
        assert_eq!(window(1, "America/Chicago", "2026-04-01T04:59:59Z"), march);
        assert!(
            Anchor {
                day: 1,
                time_zone: "Nowhere".into()
            }
            .window(UnixMillis(0))
            .is_none()
        );
    }
}
