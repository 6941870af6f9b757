//! What is in the queue, and what holds its dead rows.

use std::time::Duration;

use model::JobId;
use model::job::{Job, JobState};
use sqlx::PgConnection;

use super::Queue;
use super::row::{self, any_job_query};
use crate::Error;

/// Which jobs to list; the newest come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this state.
    pub state: Option<JobState>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this queue.
    pub queue: Option<String>,
    /// Only jobs made before this one.
    pub before: Option<JobId>,
    /// At most this many.
    pub limit: u32,
}

/// The live jobs of one queue in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// The queue.
    pub queue: String,
    /// The state.
    pub state: JobState,
    /// How many.
    pub jobs: u64,
    /// How long the oldest one has been due, or has run.
    pub oldest_age: Duration,
}

/// The oldest thing that keeps dead rows from being removed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OldestTransaction {
    /// For how long the oldest open transaction has been open.
    pub age: Duration,
    /// How many transactions began since, replication slots counted as well.
    pub transactions: u64,
}

impl Queue {
    /// Finds one job, live or finished.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        let mut connection = self.pool.acquire().await?;
        find(&mut connection, id).await
    }

    /// Lists jobs, live and finished, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Job>, Error> {
        let rows = any_job_query!(
            "(SELECT id, kind, queue, priority, state, arguments, attempt, uncounted, \
                 attempts_max, last_error, trace_context, locked_by AS worker, schedule, \
                 cancel_requested_at IS NOT NULL AS cancel_requested, \
                 run_at, created_at, started_at, finished_at \
              FROM queue.jobs \
              WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR kind = $2) \
                AND ($3::text IS NULL OR queue = $3) AND id < $4 \
              ORDER BY id DESC LIMIT $5) \
             UNION ALL \
             (SELECT id, kind, queue, priority, state, arguments, attempt, uncounted, \
                 attempts_max, last_error, trace_context, worker, schedule, false, \
                 run_at, created_at, started_at, finished_at \
              FROM queue.history \
              WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR kind = $2) \
                AND ($3::text IS NULL OR queue = $3) AND id < $4 AND keep_until > now() \
              ORDER BY id DESC LIMIT $5) \
             ORDER BY id DESC LIMIT $5",
            filter.state.map(JobState::as_str),
            filter.kind,
            filter.queue,
            filter.before.map_or(i64::MAX, |id| id.0),
            i64::from(filter.limit),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Counts and ages the live jobs.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn depth(&self) -> Result<Vec<Depth>, Error> {
        let rows = sqlx::query!(
            "SELECT queue, state, count(*) AS \"jobs!\", \
                    greatest(0, coalesce(extract(epoch FROM now() - min( \
                        CASE state WHEN 'running' THEN started_at ELSE run_at END)), 0))::float8 \
                        AS \"age_seconds!\" \
             FROM queue.jobs GROUP BY queue, state"
        )
        .fetch_all(&self.pool)
        .await?;
        let depths = rows.into_iter().map(|row| {
            Ok(Depth {
                state: row::state(&row.state)?,
                queue: row.queue,
                jobs: u64::try_from(row.jobs).unwrap_or(0),
                oldest_age: Duration::try_from_secs_f64(row.age_seconds).unwrap_or_default(),
            })
        });
        depths.collect()
    }

    /// How many discarded jobs are kept: each is work that did not happen.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn discarded(&self) -> Result<u64, Error> {
        let jobs = sqlx::query_scalar!(
            "SELECT count(*) AS \"jobs!\" FROM queue.history \
             WHERE state = 'discarded' AND keep_until > now()"
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(jobs).unwrap_or(0))
    }

    /// What holds dead rows back: nothing shrinks, and every table is slower for it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn oldest_transaction(&self) -> Result<OldestTransaction, Error> {
        let row = sqlx::query!(
            "SELECT greatest(0, coalesce(extract(epoch FROM clock_timestamp() - least( \
                        (SELECT min(xact_start) FROM pg_stat_activity \
                         WHERE pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' \
                           AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)), \
                        (SELECT min(prepared) FROM pg_prepared_xacts))), 0))::float8 \
                        AS \"age_seconds!\", \
                    greatest( \
                        coalesce((SELECT max(age(coalesce(backend_xmin, backend_xid))) \
                                  FROM pg_stat_activity \
                                  WHERE backend_type <> 'autovacuum worker'), 0), \
                        coalesce((SELECT max(age(transaction)) FROM pg_prepared_xacts), 0), \
                        coalesce((SELECT max(age(xmin)) FROM pg_replication_slots), 0) \
                    )::bigint AS \"transactions!\""
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(OldestTransaction {
            age: Duration::try_from_secs_f64(row.age_seconds).unwrap_or_default(),
            transactions: u64::try_from(row.transactions).unwrap_or(0),
        })
    }
}

pub(super) async fn find(connection: &mut PgConnection, id: JobId) -> Result<Option<Job>, Error> {
    let row = any_job_query!(
        "SELECT id, kind, queue, priority, state, arguments, attempt, uncounted, \
             attempts_max, last_error, trace_context, locked_by AS worker, schedule, \
             cancel_requested_at IS NOT NULL AS cancel_requested, \
             run_at, created_at, started_at, finished_at \
         FROM queue.jobs WHERE id = $1 \
         UNION ALL \
         SELECT id, kind, queue, priority, state, arguments, attempt, uncounted, \
             attempts_max, last_error, trace_context, worker, schedule, false, \
             run_at, created_at, started_at, finished_at \
         FROM queue.history WHERE id = $1 AND keep_until > now()",
        id.0,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Job::try_from).transpose()
}
