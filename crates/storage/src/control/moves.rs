//! Streams that move from one session to another, each on a node of its own.
//!
//! ```text
//! old  active ──begin──▶ draining ──settle──▶ stopped: superseded
//! new  provisioning ────▶ active; its node pulls from the old one's until the publisher comes
//! ```
//! Both rows are written by the transaction that begins the move: whoever dies afterwards,
//! [`settle`] goes on from what the rows say. A move on, before the publisher has come, is
//! one from the same old session: who pulls is never pulled from.

use std::time::Duration;

use model::moving::{Move, NOT_FOLLOWED, Outcome, SUPERSEDED};
use model::{NodeId, SessionId, StreamId, UnixMillis};

use super::endings::{self, Ending};
use super::{column, sessions, wake};
use crate::{Error, Pool, Transaction};

/// Lets a session drain; says whether it was there to.
///
/// # Errors
/// When the database fails.
pub async fn begin(
    transaction: &mut Transaction,
    session: &SessionId,
    ends_at: UnixMillis,
) -> Result<bool, Error> {
    let node = sqlx::query_scalar!(
        "UPDATE control.sessions SET state = 'draining', drain_ends_at = $2
         WHERE id = $1 AND state NOT IN ('draining', 'stopped') RETURNING node_id",
        session.as_str(),
        ends_at.0
    )
    .fetch_optional(&mut **transaction)
    .await?;
    if let Some(node) = &node {
        wake::notify(transaction, &column("sessions.node_id", node)?).await?;
    }
    Ok(node.is_some())
}

/// When a user last moved a slot's stream.
///
/// # Errors
/// When the database fails.
pub async fn last(
    transaction: &mut Transaction,
    stream: &StreamId,
) -> Result<Option<UnixMillis>, Error> {
    let at = sqlx::query_scalar!(
        "SELECT moved_at FROM control.streams WHERE id = $1",
        stream.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(at.flatten().map(UnixMillis))
}

/// Remembers that a user moved a slot's stream.
///
/// # Errors
/// When the database fails.
pub async fn remember(
    transaction: &mut Transaction,
    stream: &StreamId,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.streams SET moved_at = $2 WHERE id = $1",
        stream.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What became of moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Old sessions that ended.
    pub ended: Vec<SessionId>,
    /// Old sessions that are what they were.
    pub undone: Vec<SessionId>,
}

struct Row {
    id: SessionId,
    successor: SessionId,
    successor_node: NodeId,
    the_move: Move,
}

/// Ends or undoes the moves for which it is time, at most `limit`. An old session may be
/// without its publisher for `empty_max`.
///
/// # Errors
/// When the database fails; then none was changed.
pub async fn settle(
    pool: &Pool,
    now: UnixMillis,
    empty_max: Duration,
    limit: u32,
) -> Result<Settled, Error> {
    let mut transaction = pool.begin().await?;
    let mut settled = Settled::default();
    for row in under_way(&mut transaction, now, empty_max, limit).await? {
        match row.the_move.outcome(now) {
            Outcome::Waits => {}
            Outcome::Ends => {
                sessions::stop(&mut transaction, &row.id, SUPERSEDED, now).await?;
                // It pulls no longer.
                wake::notify(&mut transaction, &row.successor_node).await?;
                settled.ended.push(row.id);
            }
            Outcome::Undone => {
                sessions::stop(&mut transaction, &row.successor, NOT_FOLLOWED, now).await?;
                undo(&mut transaction, &row.id, now).await?;
                settled.undone.push(row.id);
            }
        }
    }
    transaction.commit().await?;
    Ok(settled)
}

/// Moves that may be over: those that surely wait are left out. Nobody goes back to a node
/// that drains: its deadline ends what is left there ([`end_drained`]).
async fn under_way(
    transaction: &mut Transaction,
    now: UnixMillis,
    empty_max: Duration,
    limit: u32,
) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query!(
        r#"SELECT o.id, o.publishing, o.last_published_at,
               CASE WHEN d.intent = 'draining' THEN o.ends_at ELSE o.drain_ends_at END AS "ends_at!",
               n.id AS successor, n.state, n.publishing AS arrived, n.node_id AS successor_node
           FROM control.sessions o JOIN control.nodes d ON d.id = o.node_id
           JOIN LATERAL (
               SELECT * FROM control.sessions n WHERE n.supersedes = o.id
               ORDER BY n.state = 'stopped', n.started_at DESC, n.id DESC LIMIT 1) n ON true
           WHERE o.state = 'draining'
             AND (NOT o.publishing OR n.publishing OR n.state = 'stopped' OR o.drain_ends_at <= $1)
           ORDER BY o.drain_ends_at LIMIT $2 FOR UPDATE OF o SKIP LOCKED"#,
        now.0,
        i64::from(limit)
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Row {
                id: column("sessions.id", &row.id)?,
                successor: column("sessions.id", &row.successor)?,
                successor_node: column("sessions.node_id", &row.successor_node)?,
                the_move: Move {
                    publishing: row.publishing,
                    published_at: row.last_published_at.map(UnixMillis),
                    ends_at: UnixMillis(row.ends_at),
                    successor: column("sessions.state", &row.state)?,
                    arrived: row.arrived,
                    empty_max,
                },
            })
        })
        .collect()
}

/// Makes an old session what it was, or ends it when its connection has another by now.
/// Says whether it lives.
///
/// # Errors
/// When the database fails.
pub async fn undo(
    transaction: &mut Transaction,
    session: &SessionId,
    now: UnixMillis,
) -> Result<bool, Error> {
    let undone = sqlx::query!(
        "UPDATE control.sessions o
         SET state = CASE WHEN o.publishing THEN 'active' ELSE 'grace' END, drain_ends_at = NULL,
             last_published_at = coalesce(o.last_published_at, $2)
         WHERE o.id = $1 AND o.state = 'draining' AND NOT EXISTS (
             SELECT FROM control.sessions s
             WHERE s.state NOT IN ('draining', 'stopped') AND (s.stream_id = o.stream_id
                 OR (s.user_id = o.user_id
                     AND coalesce(s.connection_id, '') = coalesce(o.connection_id, ''))))",
        session.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    if undone.rows_affected() > 0 {
        wake::notify_session(transaction, session).await?;
        return Ok(true);
    }
    sessions::stop(transaction, session, SUPERSEDED, now).await?;
    Ok(false)
}

/// The draining session from which `session` takes over, while the stream is still there:
/// none once the publisher has come.
///
/// # Errors
/// When the database fails.
pub async fn origin(
    transaction: &mut Transaction,
    session: &SessionId,
) -> Result<Option<SessionId>, Error> {
    let origin = sqlx::query_scalar!(
        "SELECT o.id FROM control.sessions n JOIN control.sessions o ON o.id = n.supersedes
         WHERE n.id = $1 AND o.state = 'draining' AND NOT n.publishing
           AND (o.publishing OR n.last_published_at IS NULL)
         FOR NO KEY UPDATE",
        session.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    origin.map(|id| column("sessions.id", &id)).transpose()
}

/// Sessions that have to leave: their node drains. At most `limit`, with when they must be
/// gone. Those that encrypt stay until their publishers are gone: nodes cannot pull them.
///
/// # Errors
/// When the database fails.
pub async fn due(pool: &Pool, limit: u32) -> Result<Vec<(SessionId, Option<UnixMillis>)>, Error> {
    let rows = sqlx::query!(
        "SELECT s.id, n.drain_deadline FROM control.sessions s
         JOIN control.nodes n ON n.id = s.node_id
         JOIN control.streams t ON t.id = s.stream_id
         WHERE (n.draining OR n.intent = 'draining') AND s.state NOT IN ('draining', 'stopped')
           AND NOT (s.publishing AND coalesce(t.settings->>'encryption', 'off') <> 'off')
         ORDER BY n.drain_deadline NULLS LAST, random() LIMIT $1",
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let deadline = row.drain_deadline.map(UnixMillis);
            Ok((column("sessions.id", &row.id)?, deadline))
        })
        .collect()
}

/// Ends what is left on nodes whose drain is over, at most `limit`.
///
/// # Errors
/// When the database fails; then none was stopped.
pub async fn end_drained(
    pool: &Pool,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<SessionId>, Error> {
    let mut transaction = pool.begin().await?;
    let left = sqlx::query_as!(
        Ending,
        r#"SELECT e.id, e.node_id,
               CASE WHEN e.state = 'draining' THEN 'superseded' ELSE 'node_drained' END AS "reason!"
           FROM control.sessions e JOIN control.nodes n ON n.id = e.node_id
           WHERE n.drain_deadline <= $1 AND e.state <> 'stopped'
           LIMIT $2 FOR UPDATE OF e SKIP LOCKED"#,
        now.0,
        i64::from(limit)
    )
    .fetch_all(&mut *transaction)
    .await?;
    let ids = endings::end(&mut transaction, &left, now).await?;
    transaction.commit().await?;
    Ok(ids)
}
