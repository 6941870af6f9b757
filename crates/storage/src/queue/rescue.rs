//! Jobs whose worker fell silent.

use model::JobId;

use super::Queue;
use crate::Error;

/// A job taken from a silent worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The job.
    pub id: JobId,
    /// What it runs.
    pub kind: String,
    /// Whether the lost attempt was its last one.
    pub discarded: bool,
}

impl Queue {
    /// Takes up to `limit` jobs whose lease ran out from their workers. The lost
    /// attempt counts, so that a job which kills its workers ends too.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn rescue(&self, limit: u32) -> Result<Vec<Rescued>, Error> {
        let rows = sqlx::query!(
            "WITH silent AS MATERIALIZED ( \
                 SELECT id, locked_by, attempt - uncounted >= attempts_max AS last FROM queue.jobs \
                 WHERE state = 'running' AND locked_until <= now() \
                 ORDER BY locked_until LIMIT $1 FOR UPDATE SKIP LOCKED) \
             UPDATE queue.jobs AS j SET \
                 state = CASE WHEN silent.last THEN 'discarded' ELSE 'available' END, \
                 finished_at = CASE WHEN silent.last THEN now() END, \
                 run_at = now(), locked_by = NULL, locked_until = NULL, \
                 last_error = 'worker ' || silent.locked_by || ' fell silent in attempt ' || j.attempt \
             FROM silent WHERE j.id = silent.id \
             RETURNING j.id, j.kind, j.state = 'discarded' AS \"discarded!\"",
            i64::from(limit),
        )
        .fetch_all(&self.pool)
        .await?;
        let rescued = rows.into_iter().map(|row| Rescued {
            id: JobId(row.id),
            kind: row.kind,
            discarded: row.discarded,
        });
        Ok(rescued.collect())
    }
}
