//! Attempts end. Each of these answers `false` when the claim was lost; then the
//! job belongs to another attempt and nothing has changed.

use std::time::Duration;

use super::{Fence, Queue, kept_error};
use crate::Error;

impl Queue {
    /// The job is done.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn complete(&self, fence: Fence) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE queue.jobs SET state = 'completed', finished_at = now(), \
                 locked_by = NULL, locked_until = NULL \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
            fence.id.0,
            fence.attempt_number(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The attempt failed; another follows after `delay`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn retry(&self, fence: Fence, delay: Duration, error: &str) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE queue.jobs SET state = 'retryable', run_at = now() + make_interval(secs => $3), \
                 last_error = $4, locked_by = NULL, locked_until = NULL \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
            fence.id.0,
            fence.attempt_number(),
            delay.as_secs_f64(),
            kept_error(error),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The job failed for good.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn discard(&self, fence: Fence, error: &str) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE queue.jobs SET state = 'discarded', finished_at = now(), \
                 last_error = $3, locked_by = NULL, locked_until = NULL \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
            fence.id.0,
            fence.attempt_number(),
            kept_error(error),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The job goes on after `delay`, and this attempt does not count: the job
    /// itself asked to wait, or its worker stops.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn snooze(&self, fence: Fence, delay: Duration) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE queue.jobs SET uncounted = uncounted + 1, \
                 state = CASE WHEN $3::float8 > 0 THEN 'scheduled' ELSE 'available' END, \
                 run_at = now() + make_interval(secs => $3), \
                 locked_by = NULL, locked_until = NULL \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
            fence.id.0,
            fence.attempt_number(),
            delay.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
