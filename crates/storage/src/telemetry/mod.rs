//! The schema `telemetry`, which the metrics-gateway owns.

pub mod apps;
pub mod days;
pub mod export;
pub mod intake;
pub mod retention;
pub mod retired;
pub mod session_steps;
pub mod stats;

use std::time::Duration;

use crate::columns::{column, number, stored};
use crate::{Error, Pool, Transaction};

/// A minute of rollups, microseconds.
const MINUTE_US: i64 = 60_000_000;

/// A transaction each of whose statements may take so long.
async fn within(pool: &Pool, timeout: Duration) -> Result<Transaction, Error> {
    let mut transaction = crate::begin(pool).await?;
    sqlx::query!(
        "SELECT set_config('statement_timeout', $1, true)",
        timeout.as_millis().to_string()
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(transaction)
}
