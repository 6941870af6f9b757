//! What people do to jobs: cancel, and try again.

use model::JobId;

use super::row::into_history;
use super::{Queue, Retention, wake};
use crate::Error;

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not begun, or waited for another attempt: it never will.
    Done,
    /// It runs; its worker is told and stops it.
    Asked,
    /// It had finished already.
    TooLate,
    /// There is no such job.
    Unknown,
}

/// What became of a wish to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is available, with all its attempts before it.
    Done,
    /// It runs.
    Running,
    /// Another live job holds its unique key.
    KeyTaken,
    /// There is no such job.
    Unknown,
}

impl Queue {
    /// Cancels a job.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn cancel(&self, id: JobId, retention: Retention) -> Result<Cancelled, Error> {
        let mut transaction = self.pool.begin().await?;
        let state = sqlx::query_scalar!(
            "SELECT state FROM queue.jobs WHERE id = $1 FOR UPDATE",
            id.0,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(state) = state else {
            let known = self.job(id).await?.is_some();
            return Ok(if known {
                Cancelled::TooLate
            } else {
                Cancelled::Unknown
            });
        };
        let outcome = if state == "running" {
            sqlx::query!(
                "UPDATE queue.jobs SET cancel_requested_at = coalesce(cancel_requested_at, now()) \
                 WHERE id = $1",
                id.0,
            )
            .execute(&mut *transaction)
            .await?;
            wake::notify_cancel(&mut transaction, id).await?;
            Cancelled::Asked
        } else {
            into_history!(
                query,
                "WITH ended AS (DELETE FROM queue.jobs WHERE id = $1 RETURNING *) ",
                ("'cancelled'", "last_error", "$2"),
                "",
                id.0,
                retention.completed.as_secs_f64(),
            )
            .execute(&mut *transaction)
            .await?;
            Cancelled::Done
        };
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Lets a job run as soon as somebody can, whether it waits or has finished. Its attempts
    /// so far no longer count; their numbers go on, since they fence.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn retry_now(&self, id: JobId) -> Result<Retried, Error> {
        let mut transaction = self.pool.begin().await?;
        let live = sqlx::query!(
            "SELECT state, queue FROM queue.jobs WHERE id = $1 FOR UPDATE",
            id.0,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let queue = match live {
            Some(live) if live.state == "running" => return Ok(Retried::Running),
            Some(live) => {
                sqlx::query!(
                    "UPDATE queue.jobs SET state = 'available', run_at = now(), \
                         uncounted = attempt, ready = nextval('queue.ready_order'), \
                         finished_at = NULL, cancel_requested_at = NULL \
                     WHERE id = $1",
                    id.0,
                )
                .execute(&mut *transaction)
                .await?;
                live.queue
            }
            None => {
                let revived = sqlx::query_scalar!(
                    "WITH back AS (DELETE FROM queue.history WHERE id = $1 RETURNING *) \
                     INSERT INTO queue.jobs (id, kind, queue, state, priority, arguments, attempt, \
                         uncounted, attempts_max, run_at, unique_key, schedule, slot, last_error, \
                         trace_context, created_at, started_at) \
                     OVERRIDING SYSTEM VALUE \
                     SELECT id, kind, queue, 'available', priority, arguments, attempt, attempt, \
                         attempts_max, now(), unique_key, schedule, slot, last_error, \
                         trace_context, created_at, started_at \
                     FROM back RETURNING queue",
                    id.0,
                )
                .fetch_optional(&mut *transaction)
                .await
                .map_err(Error::from);
                match revived {
                    Ok(Some(queue)) => queue,
                    Ok(None) => return Ok(Retried::Unknown),
                    Err(Error::Conflict { .. }) => return Ok(Retried::KeyTaken),
                    Err(error) => return Err(error),
                }
            }
        };
        wake::notify(&mut transaction, &queue).await?;
        transaction.commit().await?;
        Ok(Retried::Done)
    }
}
