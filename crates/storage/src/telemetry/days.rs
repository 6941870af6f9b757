//! The days that events lie in, a partition each.

use crate::{Error, Pool};

/// The length of a day, microseconds.
pub const DAY_US: i64 = 86_400_000_000;

/// Makes the partitions of these days (since 1970) that are missing; says how many. Events of a
/// day that came before its partition move into it.
///
/// # Errors
/// When the database is away, or writers did not let go in time: then the days before stay made.
pub async fn make(pool: &Pool, first_day: i32, last_day: i32) -> Result<u32, Error> {
    let mut made = 0;
    // Each day by itself: its locks are held for a moment only.
    for day in first_day..=last_day {
        made += sqlx::query_scalar!(
            r#"SELECT telemetry.make_event_days($1, $1) AS "made!""#,
            day
        )
        .fetch_one(pool)
        .await?;
    }
    Ok(u32::try_from(made).unwrap_or(0))
}

/// Events that lie in no day's partition, counted up to `limit`.
///
/// # Errors
/// When the database is away.
pub async fn stray(pool: &Pool, limit: u32) -> Result<u64, Error> {
    let stray = sqlx::query_scalar!(
        r#"SELECT count(*) AS "stray!"
           FROM (SELECT 1 FROM telemetry.events_default LIMIT $1) AS found"#,
        i64::from(limit)
    )
    .fetch_one(pool)
    .await?;
    super::number("count", stray)
}
