//! What need not be kept any more leaves: days of events, and rows of smaller tables.

use std::time::Duration;

use model::UnixMillis;

use super::{number, within};
use crate::{Error, Pool};

/// A statement that keeps writers of events waiting.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);
/// One that nobody waits for, and that may have to read much.
const LONG_TIMEOUT: Duration = Duration::from_secs(600);

/// A day that has events, or room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventDay {
    /// Since 1970, UTC.
    pub day: i32,
    /// Whether it has a partition; else its rows lie in the default one.
    pub has_partition: bool,
}

/// A table whose rows go when they are old, and are stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// What was no event.
    Quarantine,
    /// Sums of events by the minute.
    Rollups,
    /// What apps sent, by the day.
    AppUsage,
}

/// An app's contexts that no event names any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverContexts {
    /// Whose.
    pub app_id: i32,
    /// Those that came last before this day (since 1970, UTC).
    pub came_before: i32,
}

impl Table {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Quarantine, Self::Rollups, Self::AppUsage];

    /// Its name, without the schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Rollups => "rollups",
            Self::AppUsage => "app_usage",
        }
    }
}

/// Says whether what retires is archived from now on. While it is, days of sessions' histories retire as
/// well, where they would be dropped.
///
/// # Errors
/// When the database is away.
pub async fn declare(pool: &Pool, archives: bool) -> Result<(), Error> {
    if archives {
        sqlx::query!("INSERT INTO telemetry.archiving DEFAULT VALUES ON CONFLICT DO NOTHING")
            .execute(pool)
            .await?;
    } else {
        sqlx::query!("DELETE FROM telemetry.archiving")
            .execute(pool)
            .await?;
    }
    Ok(())
}

/// The days before this one, the oldest first.
///
/// # Errors
/// When the database is away.
pub async fn event_days(pool: &Pool, before: i32) -> Result<Vec<EventDay>, Error> {
    let mut transaction = within(pool, LONG_TIMEOUT).await?;
    let days = sqlx::query_as!(
        EventDay,
        r#"SELECT day AS "day!", has_partition AS "has_partition!"
           FROM telemetry.event_days($1)"#,
        before
    )
    .fetch_all(&mut *transaction)
    .await?;
    crate::commit(transaction).await?;
    Ok(days)
}

/// Takes the partition of a day away from the events, unless an app that has events in it keeps them
/// still; says whether.
///
/// # Errors
/// [`Error::Contention`] when writers did not let go within half a second; or the database is away.
pub async fn retire_day(pool: &Pool, day: i32, today: i32, now: UnixMillis) -> Result<bool, Error> {
    // Before anybody waits for us; and once more while all do.
    let kept = sqlx::query_scalar!("SELECT telemetry.is_event_day_kept($1, $2)", day, today)
        .fetch_one(pool)
        .await?;
    if kept != Some(false) {
        return Ok(false);
    }
    let mut transaction = within(pool, HOLD_TIMEOUT).await?;
    let retired = sqlx::query_scalar!(
        r#"SELECT telemetry.retire_event_day($1, $2, $3) AS "retired!""#,
        day,
        today,
        now.0
    )
    .fetch_one(&mut *transaction)
    .await?;
    crate::commit(transaction).await?;
    Ok(retired)
}

/// Moves up to `rows_max` events of a day, whose apps keep them no longer, into a table that retires
/// when none is left: when it says that fewer were moved.
///
/// # Errors
/// When another transaction is in the way, or the database is away.
pub async fn collect(
    pool: &Pool,
    day: i32,
    today: i32,
    rows_max: i32,
    now: UnixMillis,
) -> Result<u64, Error> {
    let mut transaction = within(pool, LONG_TIMEOUT).await?;
    let moved = sqlx::query_scalar!(
        r#"SELECT telemetry.collect_events($1, $2, $3, $4) AS "moved!""#,
        day,
        today,
        rows_max,
        now.0
    )
    .fetch_one(&mut *transaction)
    .await?;
    crate::commit(transaction).await?;
    number("count", moved)
}

/// Deletes up to `rows_max` rows that are of before an instant; says how many.
///
/// # Errors
/// When the database is away.
pub async fn expire(
    pool: &Pool,
    table: Table,
    before: UnixMillis,
    rows_max: i64,
) -> Result<u64, Error> {
    let done = match table {
        Table::Quarantine => {
            sqlx::query!(
                "DELETE FROM telemetry.quarantine WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM telemetry.quarantine WHERE received_at < $1
                 ORDER BY received_at LIMIT $2))",
                before.0,
                rows_max
            )
            .execute(pool)
            .await?
        }
        Table::Rollups => {
            sqlx::query!(
                "DELETE FROM telemetry.rollups WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM telemetry.rollups WHERE minute < $1 ORDER BY minute LIMIT $2))",
                before.0.div_euclid(60_000),
                rows_max
            )
            .execute(pool)
            .await?
        }
        Table::AppUsage => {
            sqlx::query!(
                "DELETE FROM telemetry.app_usage WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM telemetry.app_usage WHERE day < $1 LIMIT $2))",
                before.day(),
                rows_max
            )
            .execute(pool)
            .await?
        }
    };
    Ok(done.rows_affected())
}

/// What no event names any more of what events share: it came last three days or more before what its app
/// keeps begins, and nothing that came so early is left or waits for the archive.
///
/// # Errors
/// When the database is away.
pub async fn over_contexts(pool: &Pool, today: i32) -> Result<Vec<OverContexts>, Error> {
    let mut transaction = within(pool, LONG_TIMEOUT).await?;
    let over = sqlx::query_as!(
        OverContexts,
        r#"SELECT a.id AS app_id, since.came_before AS "came_before!"
           FROM telemetry.apps AS a,
               LATERAL (SELECT $1 - a.retention_days - 3 AS came_before) AS since
           WHERE EXISTS (SELECT FROM telemetry.contexts AS c
                         WHERE c.app_id = a.id AND c.last_day < since.came_before)
               AND NOT telemetry.is_context_named(a.id, since.came_before)
           ORDER BY a.id"#,
        today
    )
    .fetch_all(&mut *transaction)
    .await?;
    crate::commit(transaction).await?;
    Ok(over)
}

/// Deletes up to `rows_max` of them, but for those that somebody writes at this moment; says how
/// many.
///
/// # Errors
/// When the database is away.
pub async fn expire_contexts(pool: &Pool, over: OverContexts, rows_max: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM telemetry.contexts WHERE last_day < $2 AND ctid = ANY (ARRAY(
         SELECT ctid FROM telemetry.contexts WHERE app_id = $1 AND last_day < $2
         LIMIT $3 FOR UPDATE SKIP LOCKED))",
        over.app_id,
        over.came_before,
        rows_max
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
