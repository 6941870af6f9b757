//! How sessions end, and those that end together for what they belong to.

use model::{NodeId, SessionId, UnixMillis};

use super::heartbeats::Held;
use super::{column, usage, wake};
use crate::{Error, Transaction};

/// A session that is to end; its row is locked.
pub(super) struct Ending {
    pub(super) id: String,
    pub(super) node_id: String,
    pub(super) reason: String,
}

/// Ends sessions: counts them up to now, stops them and wakes their nodes. Returns which.
pub(super) async fn end(
    transaction: &mut Transaction,
    endings: &[Ending],
    now: UnixMillis,
) -> Result<Vec<SessionId>, Error> {
    if endings.is_empty() {
        return Ok(Vec::new());
    }
    let held = endings.iter().map(|it| (&*it.id, &*it.node_id));
    let held = Held::unread(held, now);
    usage::finish(transaction, &held, now).await?;
    let reasons: Vec<&str> = endings.iter().map(|it| &*it.reason).collect();
    sqlx::query!(
        "UPDATE control.sessions s
         SET state = 'stopped', publishing = false, stopped_at = $3, stop_reason = e.reason
         FROM unnest($1::text[], $2::text[]) AS e(id, reason)
         WHERE s.id = e.id",
        &held.sessions as &[&str],
        &reasons as &[&str],
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    let mut nodes = held.nodes;
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        wake::notify(transaction, &column("sessions.node_id", node)?).await?;
    }
    let ids = endings.iter().map(|it| column("sessions.id", &it.id));
    ids.collect()
}

/// Stops every live session of a node and wakes it. Returns which.
///
/// # Errors
/// When the database fails.
pub async fn of_node(
    transaction: &mut Transaction,
    node: &NodeId,
    reason: &str,
    now: UnixMillis,
) -> Result<Vec<SessionId>, Error> {
    let endings = sqlx::query_as!(
        Ending,
        r#"SELECT id, node_id, $2::text AS "reason!" FROM control.sessions
           WHERE node_id = $1 AND state <> 'stopped' ORDER BY id FOR NO KEY UPDATE"#,
        node.as_str(),
        reason
    )
    .fetch_all(&mut **transaction)
    .await?;
    let ended = end(transaction, &endings, now).await?;
    wake::notify(transaction, node).await?;
    Ok(ended)
}

/// Stops every live session whose tenant, user or stream key is banned, and wakes their
/// nodes. Returns which.
///
/// # Errors
/// When the database fails.
pub async fn of_banned(
    transaction: &mut Transaction,
    reason: &str,
    now: UnixMillis,
) -> Result<Vec<SessionId>, Error> {
    let endings = sqlx::query_as!(
        Ending,
        r#"WITH banned AS (
             SELECT kind, subject FROM control.bans
             WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > $2)),
         hit AS (
             SELECT s.id FROM banned b JOIN control.sessions s ON s.tenant_id = b.subject
             WHERE b.kind = 'tenant' AND s.state <> 'stopped'
             UNION
             SELECT s.id FROM banned b JOIN control.sessions s ON s.user_id = b.subject
             WHERE b.kind = 'user' AND s.state <> 'stopped'
             UNION
             SELECT s.id FROM banned b
             JOIN control.sessions s ON s.stream_id = split_part(b.subject, '/', 1)
             JOIN control.streams t ON t.id = s.stream_id
                 AND t.generation::text = split_part(b.subject, '/', 2)
             WHERE b.kind = 'stream_key' AND s.state <> 'stopped')
         SELECT id, node_id, $1::text AS "reason!" FROM control.sessions
         WHERE id IN (SELECT id FROM hit) AND state <> 'stopped'
         ORDER BY id FOR NO KEY UPDATE"#,
        reason,
        now.0
    )
    .fetch_all(&mut **transaction)
    .await?;
    end(transaction, &endings, now).await
}
