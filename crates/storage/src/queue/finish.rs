//! Attempts end. Whoever lost the claim changes nothing and is told so. A job that is done with
//! leaves for the history in the statement that says so.
//!
//! Beside an old transaction the table is full of rows that are dead and cannot go, and empty as
//! far as the planner knows: to read an index as a whole then seems cheaper than to look up
//! 500 keys. So the only way to a job, here and where claims are kept, is its key. Ids are not
//! joined, since joins can begin at either side, and a job that runs is known by its lock, since
//! its state would lead to the index of running jobs.

use std::collections::HashSet;
use std::time::Duration;

use model::JobId;
use model::job::JobState;

use super::claim::columns;
use super::row::into_history;
use super::{Fence, Queue, Retention, kept_error};
use crate::{Error, Transaction};

impl Queue {
    /// The attempts did their jobs; returns those that were still held.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn complete_many(
        &self,
        fences: &[Fence],
        retention: Retention,
    ) -> Result<HashSet<JobId>, Error> {
        let (ids, attempts) = columns(fences);
        let done = into_history!(
            query_scalar,
            "WITH ended AS ( \
                 DELETE FROM queue.jobs AS j WHERE j.id = ANY($1) \
                     AND j.attempt = ($2::integer[])[array_position($1, j.id)] \
                     AND j.locked_until IS NOT NULL \
                 RETURNING j.*), \
             noted AS ( \
                 UPDATE queue.schedules AS s SET last_success_at = now() \
                 FROM (SELECT DISTINCT schedule FROM ended WHERE schedule IS NOT NULL) AS e \
                 WHERE s.name = e.schedule) ",
            ("'completed'", "last_error", "$3"),
            " RETURNING id",
            &ids,
            &attempts,
            retention.completed.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(done.into_iter().map(JobId).collect())
    }

    /// The attempt did its job.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn complete(&self, fence: Fence, retention: Retention) -> Result<bool, Error> {
        let done = self.complete_many(&[fence], retention).await?;
        Ok(done.contains(&fence.id))
    }

    /// The job failed for good.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn discard(
        &self,
        fence: Fence,
        error: &str,
        retention: Retention,
    ) -> Result<bool, Error> {
        let keep = retention.discarded;
        self.end(fence, JobState::Discarded, Some(error), keep)
            .await
    }

    /// The attempt stopped because somebody cancelled the job.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn cancel_running(&self, fence: Fence, retention: Retention) -> Result<bool, Error> {
        let keep = retention.completed;
        self.end(fence, JobState::Cancelled, None, keep).await
    }

    async fn end(
        &self,
        fence: Fence,
        state: JobState,
        error: Option<&str>,
        keep: Duration,
    ) -> Result<bool, Error> {
        let done = into_history!(
            query,
            "WITH ended AS ( \
                 DELETE FROM queue.jobs \
                 WHERE id = $1 AND attempt = $2 AND locked_until IS NOT NULL RETURNING *) ",
            ("$3", "coalesce($4, last_error)", "$5"),
            "",
            fence.id.0,
            fence.attempt_number(),
            state.as_str(),
            error.map(kept_error),
            keep.as_secs_f64(),
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
             WHERE id = $1 AND attempt = $2 AND locked_until IS NOT NULL",
            fence.id.0,
            fence.attempt_number(),
            delay.as_secs_f64(),
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
                 ready = nextval('queue.ready_order'), \
                 run_at = now() + make_interval(secs => $3), \
                 locked_by = NULL, locked_until = NULL \
             WHERE id = $1 AND attempt = $2 AND locked_until IS NOT NULL",
            fence.id.0,
            fence.attempt_number(),
            delay.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Begins the transaction of an effect in this database that must happen once.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        Ok(self.pool.begin().await?)
    }

    /// Completes the job in the transaction of its effect: both happen, or neither. When the
    /// claim is lost the answer is false, and the transaction must be dropped.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn complete_with(
        transaction: &mut Transaction,
        fence: Fence,
        retention: Retention,
    ) -> Result<bool, Error> {
        let done = into_history!(
            query,
            "WITH ended AS ( \
                 DELETE FROM queue.jobs \
                 WHERE id = $1 AND attempt = $2 AND locked_until IS NOT NULL RETURNING *), \
             noted AS ( \
                 UPDATE queue.schedules AS s SET last_success_at = now() \
                 FROM ended WHERE s.name = ended.schedule) ",
            ("'completed'", "last_error", "$3"),
            "",
            fence.id.0,
            fence.attempt_number(),
            retention.completed.as_secs_f64(),
        )
        .execute(&mut **transaction)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}
