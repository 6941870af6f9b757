//! Finished jobs stay to be looked at, and go by the partition.

use std::time::Duration;

use super::Queue;
use super::row::into_history;
use crate::Error;

/// How long finished jobs stay to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Completed and cancelled ones.
    pub completed: Duration,
    /// Discarded ones.
    pub discarded: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            completed: Duration::from_secs(3600),
            discarded: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Partitions are made this long before they are needed.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

impl Queue {
    /// Makes room in the history for what finishes in the next day; says how many partitions.
    ///
    /// # Errors
    /// When the database is away, or another transaction is in the way.
    pub async fn make_history(&self, retention: Retention) -> Result<u32, Error> {
        let ahead = retention.completed.max(retention.discarded) + AHEAD;
        let made = sqlx::query_scalar!(
            "SELECT queue.make_history(now() + make_interval(secs => $1)) AS \"made!\"",
            ahead.as_secs_f64(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u32::try_from(made).unwrap_or(0))
    }

    /// Drops the partitions whose jobs need not be kept, but for those that somebody reads;
    /// says how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn drop_history(&self) -> Result<u32, Error> {
        let dropped = sqlx::query_scalar!("SELECT queue.drop_history() AS \"dropped!\"")
            .fetch_one(&self.pool)
            .await?;
        Ok(u32::try_from(dropped).unwrap_or(0))
    }

    /// Moves up to `limit` finished jobs that older workers left among the live ones; says
    /// how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn adopt_finished(&self, retention: Retention, limit: u32) -> Result<u64, Error> {
        let moved = into_history!(
            query,
            "WITH ended AS ( \
                 DELETE FROM queue.jobs WHERE id = ANY(ARRAY( \
                     SELECT id FROM queue.jobs \
                     WHERE state IN ('completed', 'cancelled', 'discarded') \
                     LIMIT $3 FOR UPDATE SKIP LOCKED)) \
                 RETURNING *) ",
            (
                "state",
                "last_error",
                "CASE state WHEN 'discarded' THEN $2::float8 ELSE $1::float8 END"
            ),
            "",
            retention.completed.as_secs_f64(),
            retention.discarded.as_secs_f64(),
            i64::from(limit),
        )
        .execute(&self.pool)
        .await?;
        Ok(moved.rows_affected())
    }

    /// Forgets up to `limit` keys whose time is over; says how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn trim_keys(&self, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM queue.keys WHERE key IN ( \
                 SELECT key FROM queue.keys WHERE expires_at <= now() \
                 ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
            i64::from(limit),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
