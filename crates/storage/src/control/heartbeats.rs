//! A node's heartbeat: its own counters, and the sessions it keeps alive.

use std::time::Duration;

use model::node::{Heartbeat, SessionEvent, SessionEventKind};
use model::{NodeId, SessionId, UnixMillis};

use super::{stored, wake};
use crate::{Error, Pool};

/// The longest time between two words of a node that counts as published when both say
/// so; what was in between is not known when the node was silent for longer.
const COUNTED_MAX: Duration = Duration::from_secs(60);

/// How long a heartbeat keeps a session alive.
#[derive(Debug, Clone, Copy)]
pub struct Renewal {
    /// From now.
    pub lease: Duration,
    /// For sessions that publish, or did (or began) within this time.
    pub grace: Duration,
}

/// Writes a heartbeat. A held session is `active`, or in `grace` when it was
/// published and is not now; it is renewed up to its longest life. That of a
/// connection which is to be ready at all times needs no publisher for that.
///
/// # Errors
/// When the database fails; then nothing of it is written.
pub async fn record(
    pool: &Pool,
    node: &NodeId,
    beat: &Heartbeat,
    renewal: Renewal,
    now: UnixMillis,
) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "UPDATE control.nodes
         SET heartbeat_at = $2,
             state = CASE WHEN draining OR $3 THEN 'draining' ELSE 'active' END,
             ingress_bytes_before = ingress_bytes_before
                 + CASE WHEN boot_id IS DISTINCT FROM $4 THEN ingress_bytes ELSE 0 END,
             egress_bytes_before = egress_bytes_before
                 + CASE WHEN boot_id IS DISTINCT FROM $4 THEN egress_bytes ELSE 0 END,
             boot_id = $4, ingress_bytes = $5, egress_bytes = $6
         WHERE id = $1",
        node.as_str(),
        now.0,
        beat.draining,
        beat.boot_id,
        stored(beat.ingress_bytes_total),
        stored(beat.egress_bytes_total)
    )
    .execute(&mut *transaction)
    .await?;
    renew(&mut transaction, node, beat, renewal, now).await?;
    Ok(transaction.commit().await?)
}

async fn renew(
    transaction: &mut crate::Transaction,
    node: &NodeId,
    beat: &Heartbeat,
    renewal: Renewal,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.sessions
         SET published_ms = published_ms + CASE WHEN publishing AND id = ANY($3)
                 THEN least(greatest($4 - last_published_at, 0), $7) ELSE 0 END,
             publishing = id = ANY($3),
             last_published_at = CASE WHEN id = ANY($3) THEN $4 ELSE last_published_at END,
             state = CASE WHEN id = ANY($3) OR last_published_at IS NULL THEN 'active' ELSE 'grace' END,
             lease_expires_at = CASE
                 WHEN id = ANY($3) OR coalesce(last_published_at, started_at) > $6 OR EXISTS (
                     SELECT FROM control.connections c
                     WHERE c.user_id = sessions.user_id AND c.name = sessions.connection_id)
                 THEN greatest(lease_expires_at, least($5, ends_at))
                 ELSE lease_expires_at END
         WHERE node_id = $1 AND id = ANY($2) AND state <> 'stopped'",
        node.as_str(),
        &texts(&beat.held),
        &texts(&beat.publishing),
        now.0,
        now.plus(renewal.lease).0,
        now.minus(renewal.grace).0,
        millis(COUNTED_MAX)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The node confirmed that it holds a session.
///
/// # Errors
/// When the database fails.
pub async fn confirm(pool: &Pool, node: &NodeId, session: &SessionId) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    let confirmed = sqlx::query!(
        "UPDATE control.sessions SET state = 'active'
         WHERE id = $1 AND node_id = $2 AND state = 'provisioning'",
        session.as_str(),
        node.as_str()
    )
    .execute(&mut *transaction)
    .await?;
    if confirmed.rows_affected() > 0 {
        wake::notify_session(&mut transaction, session).await?;
    }
    Ok(transaction.commit().await?)
}

/// Takes a node's word that a publisher came or went; other events change no row.
///
/// # Errors
/// When the database fails.
pub async fn observe(
    pool: &Pool,
    node: &NodeId,
    event: &SessionEvent,
    now: UnixMillis,
) -> Result<(), Error> {
    let publishing = match event.kind {
        SessionEventKind::PublisherConnected => true,
        SessionEventKind::PublisherGone => false,
        _ => return Ok(()),
    };
    let mut transaction = pool.begin().await?;
    let observed = sqlx::query!(
        "UPDATE control.sessions
         SET published_ms = published_ms + CASE WHEN publishing
                 THEN least(greatest($4 - last_published_at, 0), $5) ELSE 0 END,
             publishing = $3, last_published_at = $4,
             state = CASE WHEN $3 THEN 'active' ELSE 'grace' END
         WHERE id = $1 AND node_id = $2 AND state <> 'stopped'",
        event.session_id.as_str(),
        node.as_str(),
        publishing,
        now.0,
        millis(COUNTED_MAX)
    )
    .execute(&mut *transaction)
    .await?;
    if observed.rows_affected() > 0 {
        wake::notify_session(&mut transaction, &event.session_id).await?;
    }
    Ok(transaction.commit().await?)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn texts(ids: &[SessionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
