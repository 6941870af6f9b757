//! Finished jobs go after a while: the hot table stays small.

use std::time::Duration;

use super::Queue;
use crate::Error;

/// How long finished jobs stay to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Completed and cancelled ones.
    pub completed: Duration,
    /// Discarded ones.
    pub discarded: Duration,
}

impl Queue {
    /// Deletes up to `limit` jobs that finished longer ago than `retention`; says how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn trim(&self, retention: Retention, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM queue.jobs WHERE id IN ( \
                 SELECT id FROM queue.jobs \
                 WHERE (state IN ('completed', 'cancelled') \
                        AND finished_at <= now() - make_interval(secs => $1)) \
                    OR (state = 'discarded' \
                        AND finished_at <= now() - make_interval(secs => $2)) \
                 LIMIT $3 FOR UPDATE SKIP LOCKED)",
            retention.completed.as_secs_f64(),
            retention.discarded.as_secs_f64(),
            i64::from(limit),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
