//! Workers take jobs and keep them.

use std::collections::BTreeMap;
use std::time::Duration;

use model::JobId;
use model::job::Job;

use super::row::{JobRow, job_query};
use super::{Bounds, Fence, Firsts, Queue};
use crate::Error;

/// A job that the caller now holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job.
    pub job: Job,
    /// Attempts that count against its maximum, this one included.
    pub tries: u32,
    /// Its place among the jobs that were available.
    pub ready: i64,
    /// The `traceparent` of who enqueued it.
    pub trace_context: Option<String>,
}

/// What became of claims that were to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The job, still held.
    pub id: JobId,
    /// Whether somebody wants it cancelled.
    pub cancel_requested: bool,
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

    fn try_from(mut row: JobRow) -> Result<Self, Error> {
        let tries = row.tries()?;
        let ready = row.ready;
        let trace_context = row.trace_context.take();
        Ok(Self {
            job: row.try_into()?,
            tries,
            ready,
            trace_context,
        })
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
             UPDATE queue.jobs AS j SET state = 'available', ready = nextval('queue.ready_order') \
             WHERE j.id = ANY(ARRAY(SELECT id FROM due))",
            i64::from(limit),
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// The last number of readiness that was drawn, by whomever: what a [`Frontier`] wants.
    ///
    /// [`Frontier`]: super::Frontier
    ///
    /// # Errors
    /// When the database is away.
    pub async fn ready_drawn(&self) -> Result<i64, Error> {
        let drawn = sqlx::query_scalar!("SELECT last_value FROM queue.ready_order")
            .fetch_one(&self.pool)
            .await?;
        Ok(drawn)
    }

    /// The first available job of `kinds` in `queue`, looking from the start, whether the queue is
    /// paused or not: what a [`Frontier`](super::Frontier) wants now and then. Walks over the
    /// dead, and takes nothing.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn first_ready(&self, queue: &str, kinds: &[String]) -> Result<Firsts, Error> {
        let firsts = sqlx::query_scalar!(
            "SELECT ( \
                 SELECT j.ready FROM queue.jobs AS j \
                 WHERE j.state = 'available' AND j.queue = $1 AND j.priority = p.priority \
                     AND j.kind = ANY($2) ORDER BY j.ready LIMIT 1) AS \"first?\" \
             FROM generate_series(1, 4) AS p (priority) ORDER BY p.priority",
            queue,
            kinds,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut by_priority = Firsts::default();
        for (place, first) in by_priority.iter_mut().zip(firsts) {
            *place = first;
        }
        Ok(by_priority)
    }

    /// Takes up to `limit` available jobs of `kinds` in `queue` for `worker`, who must extend or
    /// finish them within `lease`; those of priority 1 first, then in the order in which they
    /// became available. None while the queue is paused. No two claims ever take the same attempt.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn claim_from(
        &self,
        queue: &str,
        bounds: Bounds,
        worker: &str,
        kinds: &[String],
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed>, Error> {
        // Materialized: a planner that evaluated a part twice would take more than the limit.
        // An array: of a LIMIT that is a subquery the planner expects a tenth of the table, and
        // would join by reading all of it.
        let rows = job_query!(
            "WITH open AS MATERIALIZED ( \
                 SELECT $6::bigint AS room WHERE NOT EXISTS ( \
                     SELECT FROM queue.queues WHERE name = $1 AND paused_at IS NOT NULL)), \
             p1 AS MATERIALIZED ( \
                 SELECT id FROM queue.jobs WHERE state = 'available' AND queue = $1 \
                     AND priority = 1 AND ready > $2 AND kind = ANY($7) ORDER BY ready \
                 LIMIT coalesce((SELECT room FROM open), 0) FOR UPDATE SKIP LOCKED), \
             r1 AS MATERIALIZED ( \
                 SELECT coalesce((SELECT room FROM open), 0) - count(*) AS room FROM p1), \
             p2 AS MATERIALIZED ( \
                 SELECT id FROM queue.jobs WHERE state = 'available' AND queue = $1 \
                     AND priority = 2 AND ready > $3 AND kind = ANY($7) ORDER BY ready \
                 LIMIT (SELECT room FROM r1) FOR UPDATE SKIP LOCKED), \
             r2 AS MATERIALIZED (SELECT (SELECT room FROM r1) - count(*) AS room FROM p2), \
             p3 AS MATERIALIZED ( \
                 SELECT id FROM queue.jobs WHERE state = 'available' AND queue = $1 \
                     AND priority = 3 AND ready > $4 AND kind = ANY($7) ORDER BY ready \
                 LIMIT (SELECT room FROM r2) FOR UPDATE SKIP LOCKED), \
             r3 AS MATERIALIZED (SELECT (SELECT room FROM r2) - count(*) AS room FROM p3), \
             p4 AS MATERIALIZED ( \
                 SELECT id FROM queue.jobs WHERE state = 'available' AND queue = $1 \
                     AND priority = 4 AND ready > $5 AND kind = ANY($7) ORDER BY ready \
                 LIMIT (SELECT room FROM r3) FOR UPDATE SKIP LOCKED), \
             picked AS (SELECT id FROM p1 UNION ALL SELECT id FROM p2 \
                        UNION ALL SELECT id FROM p3 UNION ALL SELECT id FROM p4) \
             UPDATE queue.jobs AS j \
             SET state = 'running', attempt = attempt + 1, started_at = now(), \
                 locked_by = $8, locked_until = now() + make_interval(secs => $9) \
             WHERE j.id = ANY(ARRAY(SELECT id FROM picked)) RETURNING",
            "",
            queue,
            bounds.after[0],
            bounds.after[1],
            bounds.after[2],
            bounds.after[3],
            i64::from(limit),
            kinds,
            worker,
            lease.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Claimed::try_from).collect()
    }

    /// The same from the queue `default`, looking from the start.
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
        let queue = super::QUEUE_DEFAULT;
        self.claim_from(queue, Bounds::NONE, worker, kinds, limit, lease)
            .await
    }

    /// Keeps claims for another `lease`; returns the jobs that are still held.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn extend(&self, fences: &[Fence], lease: Duration) -> Result<Vec<Kept>, Error> {
        let (ids, attempts) = columns(fences);
        let held = sqlx::query!(
            "UPDATE queue.jobs AS j SET locked_until = now() + make_interval(secs => $3) \
             WHERE j.id = ANY($1) AND j.attempt = ($2::integer[])[array_position($1, j.id)] \
                 AND j.locked_until IS NOT NULL \
             RETURNING j.id, j.cancel_requested_at IS NOT NULL AS \"cancel_requested!\"",
            &ids,
            &attempts,
            lease.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        let kept = held.into_iter().map(|row| Kept {
            id: JobId(row.id),
            cancel_requested: row.cancel_requested,
        });
        Ok(kept.collect())
    }
}

/// Fences as columns, a job each, in the order of ids: statements that lock several rows lock
/// them in one order, so that they do not wait for each other in a circle. Attempts only grow, so
/// that of two fences of a job the newer one alone may hold.
pub(super) fn columns(fences: &[Fence]) -> (Vec<i64>, Vec<i32>) {
    let mut newest = BTreeMap::new();
    for fence in fences {
        let attempt = newest.entry(fence.id.0).or_default();
        *attempt = fence.attempt_number().max(*attempt);
    }
    newest.into_iter().unzip()
}

impl Fence {
    /// The attempt as its column has it.
    pub(super) fn attempt_number(self) -> i32 {
        i32::try_from(self.attempt).unwrap_or(i32::MAX)
    }
}
