//! What columns hold, and what it is here.

use std::str::FromStr;
use std::time::Duration;

use crate::Error;

/// Turns a column into the domain's word for it.
pub(crate) fn column<T: FromStr>(column: &'static str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| Error::Row {
        column,
        value: value.to_owned(),
    })
}

/// Turns a column into the domain's narrower number.
pub(crate) fn number<T: TryFrom<i64>>(
    column: &'static str,
    value: impl Into<i64>,
) -> Result<T, Error> {
    let value = value.into();
    T::try_from(value).map_err(|_| Error::Row {
        column,
        value: value.to_string(),
    })
}

/// A counter as PostgreSQL can keep it; what does not fit saturates.
pub(crate) fn stored(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// A time as PostgreSQL can keep it; what does not fit saturates.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A count as PostgreSQL can keep it; what does not fit saturates.
pub(crate) fn stored_count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
