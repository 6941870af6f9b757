//! Billing cycles: calendar months, UTC.

use crate::UnixMillis;

const DAY_MS: i64 = 86_400_000;

/// The first moment of the month that `at` is in.
#[must_use]
pub const fn month_began(at: UnixMillis) -> UnixMillis {
    let day = at.0.div_euclid(DAY_MS);
    UnixMillis((day + 1 - day_of_month(day)) * DAY_MS)
}

/// From 1, of a day counted from 1970-01-01: the year is taken to begin in March, so that
/// a leap day is its last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn day_of_month(day: i64) -> i64 {
    let day_of_era = (day + 719_468).rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_on_their_first_day() {
        for (at, began) in [
            // 2025-11-21T04:53:20Z and 2025-11-01
            (1_763_700_800_000, 1_761_955_200_000),
            // 2024-02-29T23:59:59.999Z and 2024-02-01
            (1_709_251_199_999, 1_706_745_600_000),
            // 2024-03-01
            (1_709_251_200_000, 1_709_251_200_000),
            // 1970-01-31, 1969-12-31
            (30 * DAY_MS, 0),
            (-1, -31 * DAY_MS),
            // 2000-02-29 and 2000-02-01
            (951_782_400_000, 949_363_200_000),
            // 2100-02-28 and 2100-02-01: no leap year
            (4_107_456_000_000, 4_105_123_200_000),
        ] {
            assert_eq!(month_began(UnixMillis(at)), UnixMillis(began), "{at}");
        }
    }
}
