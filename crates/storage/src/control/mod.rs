//! The schema `control`: who may do what, which nodes there are, which session is
//! where. Owner: `api`. Times are the caller's: every function that needs one takes
//! `now`.

pub mod accounts;
pub mod audit;
pub mod bans;
pub mod budgets;
pub mod chains;
pub mod connections;
pub mod demand;
pub mod device_logins;
pub mod dns;
pub mod docks;
pub mod endings;
pub mod epochs;
pub mod expiry;
pub mod heartbeats;
pub mod idempotency;
pub mod lease_keys;
pub mod linked_accounts;
pub mod mail_tokens;
pub mod moves;
pub mod nodes;
pub mod pending;
pub mod people;
pub mod placements;
pub mod plans;
pub mod probes;
pub mod provider_visits;
pub mod provisioning;
pub mod relief;
pub mod round_trips;
pub mod session_events;
pub mod session_list;
pub mod sessions;
pub mod sign_ins;
pub mod slots;
pub mod standings;
pub mod streams;
pub mod subscriptions;
pub mod tokens;
mod usage;
pub mod usage_gaps;
pub mod usage_history;
pub mod wake;
pub mod webhooks;

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

/// A time as PostgreSQL can keep it; what does not fit saturates.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A count as PostgreSQL can keep it; what does not fit saturates.
fn stored_count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
