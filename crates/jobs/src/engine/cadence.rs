//! When a schedule's slots are: instants, each of them one slot, whatever clocks on walls do.
//!
//! A time on the wall that a day skips, as clocks go forward, is the instant at which the
//! skipped hour would have put it: 02:30 runs when it is 03:30. One that a day has twice, as
//! clocks go back, is the first of the two. So every day has its slot, and has it once.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use model::UnixMillis;

/// From slot to slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    /// At the multiples of this since the epoch.
    Every(Duration),
    /// On some days, at a time on the wall.
    Calendar(Calendar),
}

/// On some days, at a time on the wall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    days: Days,
    at: Time,
    zone: TimeZone,
}

/// Which days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    All,
    Week(Weekday),
    /// Of the month; the last one where the month is shorter.
    Month(i8),
}

/// How many days are looked through for one that fits: two months and a margin.
const LOOK_DAYS: i32 = 70;

impl Cadence {
    /// Every day at `at`.
    #[must_use]
    pub const fn daily(at: Time, zone: TimeZone) -> Self {
        Self::on(Days::All, at, zone)
    }

    /// Every week on `day` at `at`.
    #[must_use]
    pub const fn weekly(day: Weekday, at: Time, zone: TimeZone) -> Self {
        Self::on(Days::Week(day), at, zone)
    }

    /// Every month on its `day`th, or on its last where it is shorter, at `at`.
    ///
    /// # Panics
    /// When `day` is not 1 to 31: schedules are code.
    #[must_use]
    pub const fn monthly(day: i8, at: Time, zone: TimeZone) -> Self {
        assert!(day >= 1 && day <= 31, "a month has the days 1 to 31");
        Self::on(Days::Month(day), at, zone)
    }

    const fn on(days: Days, at: Time, zone: TimeZone) -> Self {
        Self::Calendar(Calendar { days, at, zone })
    }

    /// The beginning of the last slot that began at `now` or before.
    #[must_use]
    pub fn slot(&self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Every(every) => UnixMillis(now.0 - now.0.rem_euclid(millis(*every))),
            Self::Calendar(calendar) => calendar.last(now),
        }
    }

    /// The beginning of the first slot after `time`.
    #[must_use]
    pub fn next(&self, time: UnixMillis) -> UnixMillis {
        match self {
            Self::Every(every) => self.slot(time).plus(*every),
            Self::Calendar(calendar) => calendar.next(time),
        }
    }
}

impl Calendar {
    fn last(&self, now: UnixMillis) -> UnixMillis {
        let today = self.day_of(now);
        let found = (-1..LOOK_DAYS).find_map(|back| {
            let slot = self.slot_on(today.saturating_sub(back.days()))?;
            (slot <= now).then_some(slot)
        });
        found.unwrap_or(now)
    }

    fn next(&self, time: UnixMillis) -> UnixMillis {
        let today = self.day_of(time);
        let found = (-1..LOOK_DAYS).find_map(|ahead| {
            let slot = self.slot_on(today.saturating_add(ahead.days()))?;
            (slot > time).then_some(slot)
        });
        // Only at the end of time is there none.
        found.unwrap_or(UnixMillis(i64::MAX))
    }

    fn day_of(&self, time: UnixMillis) -> Date {
        let instant = Timestamp::from_millisecond(time.0).unwrap_or(Timestamp::MAX);
        Zoned::new(instant, self.zone.clone()).date()
    }

    fn slot_on(&self, day: Date) -> Option<UnixMillis> {
        let is_one = match self.days {
            Days::All => true,
            Days::Week(weekday) => day.weekday() == weekday,
            Days::Month(of_month) => day.day() == of_month.min(day.days_in_month()),
        };
        let wall = is_one.then(|| day.to_datetime(self.at))?;
        let instant = self.zone.to_ambiguous_zoned(wall).compatible().ok()?;
        Some(UnixMillis(instant.timestamp().as_millisecond()))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}

impl Display for Cadence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let calendar = match self {
            Self::Every(every) => return write!(f, "every {every:?}"),
            Self::Calendar(calendar) => calendar,
        };
        match calendar.days {
            Days::All => write!(f, "daily")?,
            Days::Week(day) => write!(f, "weekly on {day:?}")?,
            Days::Month(day) => write!(f, "monthly on day {day}")?,
        }
        let zone = calendar.zone.iana_name().unwrap_or("UTC");
        write!(f, " at {} {zone}", calendar.at.strftime("%H:%M"))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn following(cadence: &Cadence, from: &str, count: usize) -> Vec<String> {
        let mut time = at(from);
        let mut slots = Vec::new();
        for _ in 0..count {
            time = cadence.next(time);
            slots.push(Timestamp::from_millisecond(time.0).unwrap().to_string());
        }
        slots
    }

    #[test]
    fn intervals_are_multiples_since_the_epoch() {
        let every = Cadence::Every(Duration::from_secs(5));
        assert_eq!(every.slot(UnixMillis(12_345)), UnixMillis(10_000));
        assert_eq!(every.slot(UnixMillis(10_000)), UnixMillis(10_000));
        assert_eq!(every.next(UnixMillis(10_000)), UnixMillis(15_000));
        assert_eq!(every.slot(UnixMillis(-1)), UnixMillis(-5000));
    }

    #[test]
    fn a_time_that_the_clocks_skip_runs_once_an_hour_later() {
        let daily = Cadence::daily(time(2, 30, 0, 0), zone("Europe/Berlin"));
        assert_eq!(
            following(&daily, "2026-03-27T12:00:00Z", 3),
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:30:00Z", // 03:30 in Berlin
                "2026-03-30T00:30:00Z"
            ]
        );
    }

    #[test]
    fn a_time_that_comes_twice_runs_the_first_time() {
        let daily = Cadence::daily(time(2, 30, 0, 0), zone("Europe/Berlin"));
        assert_eq!(
            following(&daily, "2026-10-23T12:00:00Z", 3),
            [
                "2026-10-24T00:30:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z"
            ]
        );
        // Between the two 02:30s and after the second, it is still the first one's slot.
        for now in [
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T23:00:00Z",
        ] {
            assert_eq!(daily.slot(at(now)), at("2026-10-25T00:30:00Z"), "{now}");
        }
    }

    #[test]
    fn a_day_that_a_zone_skipped_has_its_slot_the_next() {
        // Samoa had no 2011-12-30.
        let daily = Cadence::daily(time(9, 0, 0, 0), zone("Pacific/Apia"));
        assert_eq!(
            following(&daily, "2011-12-29T12:00:00Z", 3),
            [
                "2011-12-29T19:00:00Z",
                "2011-12-30T19:00:00Z",
                "2011-12-31T19:00:00Z"
            ]
        );
    }

    #[test]
    fn short_months_end_on_their_last_day() {
        let monthly = Cadence::monthly(31, time(0, 0, 0, 0), TimeZone::UTC);
        assert_eq!(
            following(&monthly, "2027-12-31T00:00:00Z", 3),
            [
                "2028-01-31T00:00:00Z",
                "2028-02-29T00:00:00Z",
                "2028-03-31T00:00:00Z"
            ]
        );
        let weekly = Cadence::weekly(Weekday::Monday, time(6, 0, 0, 0), TimeZone::UTC);
        assert_eq!(
            following(&weekly, "2026-11-22T00:00:00Z", 2),
            ["2026-11-23T06:00:00Z", "2026-11-30T06:00:00Z"]
        );
    }

    #[test]
    fn cadences_are_told_in_words() {
        let words = |cadence: Cadence| cadence.to_string();
        assert_eq!(words(Cadence::Every(Duration::from_secs(5))), "every 5s");
        assert_eq!(
            words(Cadence::daily(time(3, 5, 0, 0), zone("America/New_York"))),
            "daily at 03:05 America/New_York"
        );
        assert_eq!(
            words(Cadence::monthly(1, time(0, 0, 0, 0), TimeZone::UTC)),
            "monthly on day 1 at 00:00 UTC"
        );
    }

    const ZONES: [&str; 6] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe", // half an hour of summer time
        "Africa/Casablanca",   // goes back for Ramadan
        "Asia/Kathmandu",
    ];

    fn cadences() -> impl Strategy<Value = Cadence> {
        let calendar = (0..ZONES.len(), 0..24_i8, 0..60_i8, 0..3_u8, 1..32_i8).prop_map(
            |(index, hour, minute, which, day)| {
                let (at, zone) = (time(hour, minute, 0, 0), zone(ZONES[index]));
                match which {
                    0 => Cadence::daily(at, zone),
                    1 => Cadence::weekly(
                        Weekday::from_monday_one_offset(day % 7 + 1).unwrap(),
                        at,
                        zone,
                    ),
                    _ => Cadence::monthly(day, at, zone),
                }
            },
        );
        let every = (1..100_000_000_u64).prop_map(|ms| Cadence::Every(Duration::from_millis(ms)));
        prop_oneof![calendar, every]
    }

    proptest! {
        /// Every moment lies in one slot, and slots follow each other without a gap.
        #[test]
        fn slots_are_exact(cadence in cadences(), now in 0..4_000_000_000_000_i64) {
            let now = UnixMillis(now);
            let (slot, next) = (cadence.slot(now), cadence.next(now));
            prop_assert!(slot <= now && now < next);
            prop_assert_eq!(cadence.slot(slot), slot);
            prop_assert_eq!(cadence.next(slot), next);
            prop_assert_eq!(cadence.slot(next), next);
            prop_assert_eq!(cadence.slot(next.minus(Duration::from_millis(1))), slot);
        }

        /// No day on the wall is left out, and none has two.
        #[test]
        fn every_day_has_one_slot(index in 0..ZONES.len(), hour in 0..24_i8, minute in 0..60_i8, now in 0..4_000_000_000_000_i64) {
            let zone = zone(ZONES[index]);
            let daily = Cadence::daily(time(hour, minute, 0, 0), zone);
            let (first, second) = (daily.next(UnixMillis(now)), daily.next(daily.next(UnixMillis(now))));
            let apart = second.since(first);
            prop_assert!(HOUR * 22 <= apart && apart <= HOUR * 26, "{apart:?}");
        }
    }
}
