//! Queues that rest.

use model::UnixMillis;

use super::{Queue, wake};
use crate::Error;

/// A queue, and whether it rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub name: String,
    /// Since when nothing of it is claimed.
    pub paused_at: Option<UnixMillis>,
    /// Jobs that could run.
    pub available: u64,
    /// Jobs that run.
    pub running: u64,
}

impl Queue {
    /// Lets nothing more of a queue be claimed; what runs goes on. Says whether it ran.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn pause(&self, queue: &str) -> Result<bool, Error> {
        let done = sqlx::query!(
            "INSERT INTO queue.queues AS q (name, paused_at) VALUES ($1, now()) \
             ON CONFLICT (name) DO UPDATE SET paused_at = now(), updated_at = now() \
             WHERE q.paused_at IS NULL",
            queue,
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Lets a queue be claimed from again; says whether it was paused.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn resume(&self, queue: &str) -> Result<bool, Error> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query!(
            "UPDATE queue.queues SET paused_at = NULL, updated_at = now() \
             WHERE name = $1 AND paused_at IS NOT NULL",
            queue,
        )
        .execute(&mut *transaction)
        .await?;
        wake::notify(&mut transaction, queue).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// The queues that have jobs or were ever paused.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn queues(&self) -> Result<Vec<QueueState>, Error> {
        let rows = sqlx::query!(
            "SELECT coalesce(q.name, j.queue) AS \"name!\", \
                    (extract(epoch FROM q.paused_at) * 1000)::bigint AS paused_at_ms, \
                    coalesce(j.available, 0) AS \"available!\", \
                    coalesce(j.running, 0) AS \"running!\" \
             FROM queue.queues AS q FULL JOIN ( \
                 SELECT queue, count(*) FILTER (WHERE state = 'available') AS available, \
                        count(*) FILTER (WHERE state = 'running') AS running \
                 FROM queue.jobs GROUP BY queue) AS j ON j.queue = q.name \
             ORDER BY 1"
        )
        .fetch_all(&self.pool)
        .await?;
        let states = rows.into_iter().map(|row| QueueState {
            name: row.name,
            paused_at: row.paused_at_ms.map(UnixMillis),
            available: u64::try_from(row.available).unwrap_or(0),
            running: u64::try_from(row.running).unwrap_or(0),
        });
        Ok(states.collect())
    }
}
