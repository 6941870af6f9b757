//! The sessions between which one stream moved, whichever of them a client knows.
//!
//! ```text
//! first ◀─supersedes─ second ◀─supersedes─ … ◀─supersedes─ the newest
//! ```
//! Two sessions are of one chain when they go back to the same first one. A stream that was
//! stopped and started again has another chain. At most two sessions of a chain live: one
//! that drains, and the one that its stream moves to.

use model::{SessionId, UnixMillis};
use sqlx::PgExecutor;

use super::{column, sessions};
use crate::{Error, Transaction};

/// Selects from the sessions of `$1`'s chain that live. They are found from the newest of
/// its stream backwards, each by its key: nothing is searched.
macro_rules! select_live {
    ($tail:tt, $id:expr) => {
        sqlx::query_scalar!(
            "WITH RECURSIVE mine AS (
                 SELECT id, supersedes, stream_id FROM control.sessions WHERE id = $1
                 UNION ALL
                 SELECT s.id, s.supersedes, s.stream_id
                 FROM mine JOIN control.sessions s ON s.id = mine.supersedes),
             ends AS (
                 SELECT id, supersedes FROM control.sessions
                 WHERE stream_id = (SELECT stream_id FROM mine LIMIT 1)
                   AND state NOT IN ('draining', 'stopped')
                 UNION
                 SELECT id, supersedes FROM control.sessions
                 WHERE stream_id = (SELECT stream_id FROM mine LIMIT 1) AND state = 'draining'),
             back AS (
                 SELECT id AS live, id, supersedes FROM ends
                 UNION ALL
                 SELECT back.live, s.id, s.supersedes
                 FROM back JOIN control.sessions s ON s.id = back.supersedes)
             SELECT s.id FROM control.sessions s
             WHERE s.id IN (SELECT live FROM back WHERE id IN (SELECT id FROM mine)) "
                + $tail,
            $id
        )
    };
}

/// The live session of the chain that `id` is of; of two between which the stream moves,
/// the new one.
///
/// # Errors
/// When the database fails.
pub async fn live(
    executor: impl PgExecutor<'_>,
    id: &SessionId,
) -> Result<Option<SessionId>, Error> {
    let live = select_live!("ORDER BY s.state = 'draining' LIMIT 1", id.as_str())
        .fetch_optional(executor)
        .await?;
    live.map(|id| column("sessions.id", &id)).transpose()
}

/// Stops what lives of the chain that `id` is of, and wakes the nodes. Says which.
///
/// # Errors
/// When the database fails.
pub async fn stop(
    transaction: &mut Transaction,
    id: &SessionId,
    reason: &str,
    now: UnixMillis,
) -> Result<Vec<SessionId>, Error> {
    let live = select_live!("ORDER BY s.id FOR NO KEY UPDATE", id.as_str())
        .fetch_all(&mut **transaction)
        .await?;
    let mut stopped = Vec::with_capacity(live.len());
    for id in &live {
        let id = column("sessions.id", id)?;
        if sessions::stop(transaction, &id, reason, now).await? {
            stopped.push(id);
        }
    }
    Ok(stopped)
}
