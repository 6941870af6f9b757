//! Workers take jobs and keep them.

use std::collections::HashSet;
use std::time::Duration;

use model::JobId;
use model::job::Job;

use super::row::{JobRow, job_query};
use super::{Fence, Queue};
use crate::Error;

/// A job that the caller now holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job.
    pub job: Job,
    /// Attempts that count against its maximum, this one included.
    pub tries: u32,
}

impl Claimed {
    /// What proves the claim.
    #[must_use]
    pub fn fence(&self) -> Fence {
        Fence {
            id: self.job.id,
            attempt: self.job.attempt,
        }
    }
}

impl TryFrom<JobRow> for Claimed {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let tries = row.tries()?;
        let job = row.try_into()?;
        Ok(Self { job, tries })
    }
}

impl Queue {
    /// Makes scheduled and retryable jobs available whose time has come; says how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn promote(&self, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "WITH due AS MATERIALIZED ( \
                 SELECT id FROM queue.jobs \
                 WHERE state IN ('scheduled', 'retryable') AND run_at <= now() \
                 ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED) \
             UPDATE queue.jobs AS j SET state = 'available' FROM due WHERE j.id = due.id",
            i64::from(limit),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Takes up to `limit` available jobs of `kinds` for `worker`, who must extend or
    /// finish them within `lease`. No two claims ever take the same attempt.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn claim(
        &self,
        worker: &str,
        kinds: &[String],
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Error> {
        // Materialized: a planner that evaluated the subquery twice would take more than the limit.
        let rows = job_query!(
            "WITH picked AS MATERIALIZED ( \
                 SELECT id FROM queue.jobs \
                 WHERE state = 'available' AND run_at <= now() AND kind = ANY($2) \
                 ORDER BY priority, run_at, id LIMIT $3 FOR UPDATE SKIP LOCKED) \
             UPDATE queue.jobs AS j \
             SET state = 'running', attempt = attempt + 1, started_at = now(), \
                 locked_by = $1, locked_until = now() + make_interval(secs => $4) \
             FROM picked WHERE j.id = picked.id RETURNING",
            "",
            worker,
            kinds,
            i64::from(limit),
            lease.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Claimed::try_from).collect()
    }

    /// Keeps claims for another `lease`; returns the jobs that are still held.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn extend(&self, fences: &[Fence], lease: Duration) -> Result<HashSet<JobId>, Error> {
        let (ids, attempts): (Vec<i64>, Vec<i32>) = fences
            .iter()
            .map(|fence| (fence.id.0, fence.attempt_number()))
            .unzip();
        let held = sqlx::query_scalar!(
            "UPDATE queue.jobs AS j SET locked_until = now() + make_interval(secs => $3) \
             FROM unnest($1::bigint[], $2::integer[]) AS held (id, attempt) \
             WHERE j.id = held.id AND j.attempt = held.attempt AND j.state = 'running' \
             RETURNING j.id",
            &ids,
            &attempts,
            lease.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(held.into_iter().map(JobId).collect())
    }
}

impl Fence {
    /// The attempt as its column has it.
    pub(super) fn attempt_number(self) -> i32 {
        i32::try_from(self.attempt).unwrap_or(i32::MAX)
    }
}
