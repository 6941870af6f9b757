//! The schema `telemetry`, which the metrics-gateway owns.

pub mod apps;
pub mod days;
pub mod intake;
pub mod session_steps;

use std::str::FromStr;

use crate::Error;

fn column<T: FromStr>(column: &'static str, value: &str) -> Result<T, Error> {
    value.parse().map_err(|_| Error::Row {
        column,
        value: value.to_owned(),
    })
}

fn number<T: TryFrom<i64>>(column: &'static str, value: impl Into<i64>) -> Result<T, Error> {
    let value = value.into();
    T::try_from(value).map_err(|_| Error::Row {
        column,
        value: value.to_string(),
    })
}

/// A counter as PostgreSQL can keep it; what does not fit saturates.
fn stored(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}
