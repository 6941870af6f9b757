//! Jobs whose worker fell silent.

use model::job::JobState;
use model::{JobId, UnixMillis};

use super::row::{self, into_history};
use super::{Queue, Retention};
use crate::Error;

/// A job taken from a silent worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The job.
    pub id: JobId,
    /// What it runs.
    pub kind: String,
    /// What it is now: available, discarded when the lost attempt was its last one, or cancelled
    /// when somebody wanted it so.
    pub state: JobState,
}

impl Queue {
    /// Takes up to `limit` jobs whose lease ran out after `after` from their workers. The lost
    /// attempt counts, so that a job which kills its workers ends too.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn rescue(
        &self,
        after: UnixMillis,
        limit: u32,
        retention: Retention,
    ) -> Result<Vec<Rescued>, Error> {
        let rows = into_history!(
            query,
            "WITH silent AS MATERIALIZED ( \
                 SELECT id, CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' \
                                 WHEN attempt - uncounted >= attempts_max THEN 'discarded' \
                                 ELSE 'available' END AS becomes, \
                        'worker ' || locked_by || ' fell silent in attempt ' || attempt AS reason \
                 FROM queue.jobs \
                 WHERE state = 'running' AND locked_until <= now() \
                   AND locked_until > to_timestamp($2::bigint / 1000.0) \
                 ORDER BY locked_until LIMIT $1 FOR UPDATE SKIP LOCKED), \
             again AS ( \
                 UPDATE queue.jobs AS j SET state = 'available', run_at = now(), \
                     ready = nextval('queue.ready_order'), \
                     locked_by = NULL, locked_until = NULL, \
                     last_error = (SELECT reason FROM silent WHERE silent.id = j.id) \
                 WHERE j.id = ANY(ARRAY(SELECT id FROM silent WHERE becomes = 'available')) \
                 RETURNING j.id, j.kind, 'available' AS state), \
             ended AS ( \
                 DELETE FROM queue.jobs AS j \
                 WHERE j.id = ANY(ARRAY(SELECT id FROM silent WHERE becomes <> 'available')) \
                 RETURNING j.*, \
                     (SELECT becomes FROM silent WHERE silent.id = j.id) AS becomes, \
                     (SELECT reason FROM silent WHERE silent.id = j.id) AS reason), \
             kept AS ( ",
            (
                "becomes",
                "reason",
                "CASE becomes WHEN 'discarded' THEN $4::float8 ELSE $3::float8 END"
            ),
            " RETURNING id, kind, state) \
             SELECT id AS \"id!\", kind AS \"kind!\", state AS \"state!\" FROM again \
             UNION ALL SELECT id, kind, state FROM kept",
            i64::from(limit),
            after.0,
            retention.completed.as_secs_f64(),
            retention.discarded.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        let rescued = rows.into_iter().map(|row| {
            Ok(Rescued {
                id: JobId(row.id),
                kind: row.kind,
                state: row::state(&row.state)?,
            })
        });
        rescued.collect()
    }
}
