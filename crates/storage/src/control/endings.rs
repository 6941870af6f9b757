//! Sessions that end together, for what they belong to.

use std::collections::BTreeSet;

use model::{NodeId, SessionId, UnixMillis};

use super::{column, wake};
use crate::{Error, Transaction};

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
    let ids = sqlx::query_scalar!(
        "UPDATE control.sessions
         SET state = 'stopped', publishing = false, stopped_at = $3, stop_reason = $2
         WHERE node_id = $1 AND state <> 'stopped' RETURNING id",
        node.as_str(),
        reason,
        now.0
    )
    .fetch_all(&mut **transaction)
    .await?;
    wake::notify(transaction, node).await?;
    ids.iter().map(|id| column("sessions.id", id)).collect()
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
    let rows = sqlx::query!(
        "WITH banned AS (
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
         UPDATE control.sessions
         SET state = 'stopped', publishing = false, stopped_at = $2, stop_reason = $1
         WHERE id IN (SELECT id FROM hit) AND state <> 'stopped'
         RETURNING id, node_id",
        reason,
        now.0
    )
    .fetch_all(&mut **transaction)
    .await?;
    let mut ids = Vec::with_capacity(rows.len());
    let mut nodes = BTreeSet::new();
    for row in rows {
        ids.push(column("sessions.id", &row.id)?);
        nodes.insert(column::<NodeId>("sessions.node_id", &row.node_id)?);
    }
    for node in &nodes {
        wake::notify(transaction, node).await?;
    }
    Ok(ids)
}
