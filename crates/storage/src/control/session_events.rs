//! What sessions did, noticed by comparison: whoever changed a session's row, and by
//! whatever statement, the change is found, written down once and told once. What changed
//! back before anybody looked is not told.

use model::session::SessionState;
use model::{NodeId, Region, SessionId, TenantId, UnixMillis, UserId};

use super::column;
use crate::{Error, Pool, Transaction};

/// What a session did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who started it.
    pub user_id: UserId,
    /// The client's name of the connection.
    pub connection_id: Option<String>,
    /// Where it is.
    pub node_id: NodeId,
    /// The region of that node.
    pub region: Region,
    /// The session that it took over from.
    pub supersedes: Option<SessionId>,
    /// What it was doing; none: it is new.
    pub before: Option<SessionState>,
    /// What it is doing.
    pub state: SessionState,
    /// Whether its publisher was connected.
    pub was_publishing: bool,
    /// Whether it is.
    pub publishing: bool,
    /// Why it ended.
    pub stop_reason: Option<String>,
}

/// Writes down what changed since it was looked last, at most `limit` sessions, and says it.
///
/// # Errors
/// When the database fails.
pub async fn note(
    transaction: &mut Transaction,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<Change>, Error> {
    let rows = sqlx::query!(
        r#"WITH changed AS (
               SELECT id, noted_state, noted_publishing FROM control.sessions
               WHERE noted_state IS DISTINCT FROM state OR noted_publishing <> publishing
               ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
           ), noted AS (
               UPDATE control.sessions s SET noted_state = s.state, noted_publishing = s.publishing
               FROM changed WHERE s.id = changed.id
               RETURNING s.*, changed.noted_state AS before, changed.noted_publishing AS was
           ), written AS (
               INSERT INTO control.session_events (session_id, at, state, publishing, reason)
               SELECT id, $1, state, publishing, stop_reason FROM noted
           )
           SELECT id AS "id!", tenant_id AS "tenant_id!", user_id AS "user_id!", connection_id,
               node_id AS "node_id!", region AS "region!", supersedes, before, state AS "state!",
               was AS "was!", publishing AS "publishing!", stop_reason
           FROM noted ORDER BY id"#,
        now.0,
        i64::from(limit)
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (supersedes, before) = (row.supersedes.as_deref(), row.before.as_deref());
            Ok(Change {
                session_id: column("sessions.id", &row.id)?,
                tenant_id: column("sessions.tenant_id", &row.tenant_id)?,
                user_id: column("sessions.user_id", &row.user_id)?,
                connection_id: row.connection_id,
                node_id: column("sessions.node_id", &row.node_id)?,
                region: column("sessions.region", &row.region)?,
                supersedes: supersedes
                    .map(|id| column("sessions.supersedes", id))
                    .transpose()?,
                before: before
                    .map(|state| column("sessions.noted_state", state))
                    .transpose()?,
                state: column("sessions.state", &row.state)?,
                was_publishing: row.was,
                publishing: row.publishing,
                stop_reason: row.stop_reason,
            })
        })
        .collect()
}

/// One thing that a session did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it was noticed.
    pub at: UnixMillis,
    /// What it did from then on.
    pub state: SessionState,
    /// Whether its publisher was connected.
    pub publishing: bool,
    /// Why it ended.
    pub reason: Option<String>,
}

/// What a session did, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn of_session(pool: &Pool, session: &SessionId, limit: u32) -> Result<Vec<Event>, Error> {
    let rows = sqlx::query!(
        "SELECT at, state, publishing, reason FROM control.session_events
         WHERE session_id = $1 ORDER BY id DESC LIMIT $2",
        session.as_str(),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Event {
                at: UnixMillis(row.at),
                state: column("session_events.state", &row.state)?,
                publishing: row.publishing,
                reason: row.reason,
            })
        })
        .collect()
}

/// Drops at most `limit` events from before `before`.
///
/// # Errors
/// When the database fails.
pub async fn trim(pool: &Pool, before: UnixMillis, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.session_events WHERE id IN (
             SELECT id FROM control.session_events WHERE at < $1 ORDER BY id LIMIT $2)",
        before.0,
        i64::from(limit)
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
