//! Calendar months, by UTC.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::UnixMillis;

const DAY_SECONDS: i64 = 86_400;

/// The first day of the month, since 1970.
pub(crate) fn first_day(now: UnixMillis) -> i32 {
    let first = begins_at(date(now).first_of_month());
    i32::try_from(first.div_euclid(DAY_SECONDS)).unwrap_or(0)
}

/// Until the next month begins.
pub(crate) fn left(now: UnixMillis) -> Duration {
    let last = date(now).last_of_month();
    let next = begins_at(last).saturating_add(DAY_SECONDS);
    let left = next.saturating_sub(now.0.div_euclid(1000));
    Duration::from_secs(u64::try_from(left).unwrap_or(0))
}

fn date(now: UnixMillis) -> Date {
    let now = Timestamp::from_millisecond(now.0).unwrap_or_default();
    now.to_zoned(TimeZone::UTC).date()
}

/// Unix seconds.
fn begins_at(day: Date) -> i64 {
    let midnight = day.to_zoned(TimeZone::UTC);
    midnight.map_or(0, |midnight| midnight.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first_day_and_ends_with_its_last() {
        let now: Timestamp = "2024-02-29T23:59:30Z".parse().unwrap();
        let now = UnixMillis(now.as_millisecond());
        assert_eq!(first_day(now), 19_754);
        assert_eq!(left(now), Duration::from_secs(30));
    }
}
