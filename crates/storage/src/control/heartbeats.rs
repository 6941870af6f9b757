//! Nodes' heartbeats: their own counters, and the sessions they keep alive.

use std::collections::BTreeSet;
use std::time::Duration;

use model::node::{Heartbeat, SessionEvent, SessionEventKind};
use model::{NodeId, SessionId, UnixMillis};

use super::{column, stored, stored_count, wake};
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

/// A node's heartbeat on its way to the database.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Whose.
    pub node: NodeId,
    /// When it was heard.
    pub at: UnixMillis,
    /// What it says.
    pub said: Heartbeat,
}

/// Writes heartbeats, at most one of each node, in two statements however many there are.
/// A held session is `active`, or in `grace` when it was published and is not now; it is
/// renewed up to its longest life. That of a connection which is to be ready at all times
/// needs no publisher for that.
///
/// # Errors
/// When the database fails; then the next heartbeats make up for what is not written.
pub async fn record(pool: &Pool, beats: &[Beat], renewal: Renewal) -> Result<(), Error> {
    // Whoever locks several rows does so in the order of their ids.
    let mut beats: Vec<&Beat> = beats.iter().collect();
    beats.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    note_counters(pool, &beats).await?;
    renew(pool, &Held::of(&beats), renewal).await
}

async fn note_counters(pool: &Pool, beats: &[&Beat]) -> Result<(), Error> {
    let nodes: Vec<&str> = beats.iter().map(|beat| beat.node.as_str()).collect();
    let at: Vec<i64> = beats.iter().map(|beat| beat.at.0).collect();
    let publishers = beats.iter().map(|beat| stored_count(beat.said.publishers));
    let players = beats.iter().map(|beat| stored_count(beat.said.players));
    let loads = beats.iter().map(|beat| beat.said.data_thread_load_ratio);
    let boots: Vec<&str> = beats.iter().map(|beat| &*beat.said.boot_id).collect();
    let counted = |of: fn(&Heartbeat) -> u64| -> Vec<i64> {
        let counted = beats.iter().map(|beat| stored(of(&beat.said)));
        counted.collect()
    };
    sqlx::query!(
        "UPDATE control.nodes n
         SET heartbeat_at = b.at,
             ingress_bytes_before = ingress_bytes_before
                 + CASE WHEN n.boot_id IS DISTINCT FROM b.boot_id THEN n.ingress_bytes ELSE 0 END,
             egress_bytes_before = egress_bytes_before
                 + CASE WHEN n.boot_id IS DISTINCT FROM b.boot_id THEN n.egress_bytes ELSE 0 END,
             boot_id = b.boot_id, ingress_bytes = b.ingress, egress_bytes = b.egress,
             publishers = b.publishers, players = b.players, data_thread_load_ratio = b.load
         FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::int4[],
                 $7::int4[], $8::float8[])
             AS b(id, at, boot_id, ingress, egress, publishers, players, load)
         WHERE n.id = b.id",
        &nodes as &[&str],
        &at,
        &boots as &[&str],
        &counted(|said| said.ingress_bytes_total),
        &counted(|said| said.egress_bytes_total),
        &publishers.collect::<Vec<i32>>(),
        &players.collect::<Vec<i32>>(),
        &loads.collect::<Vec<f64>>()
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The sessions that nodes hold, one row each, a column a field.
#[derive(Default)]
struct Held<'a> {
    sessions: Vec<&'a str>,
    nodes: Vec<&'a str>,
    publishing: Vec<bool>,
    at: Vec<i64>,
}

impl<'a> Held<'a> {
    fn of(beats: &[&'a Beat]) -> Self {
        let mut held = Self::default();
        for beat in beats {
            let publishing: BTreeSet<&SessionId> = beat.said.publishing.iter().collect();
            for session in &beat.said.held {
                held.sessions.push(session.as_str());
                held.nodes.push(beat.node.as_str());
                held.publishing.push(publishing.contains(session));
                held.at.push(beat.at.0);
            }
        }
        held
    }
}

async fn renew(pool: &Pool, held: &Held<'_>, renewal: Renewal) -> Result<(), Error> {
    if held.sessions.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "WITH b AS MATERIALIZED (
             SELECT s.id, b.publishing, b.at
             FROM unnest($1::text[], $2::text[], $3::bool[], $4::int8[])
                 AS b(id, node_id, publishing, at)
             JOIN control.sessions s ON s.id = b.id AND s.node_id = b.node_id
             WHERE s.state <> 'stopped'
             ORDER BY s.id FOR NO KEY UPDATE OF s)
         UPDATE control.sessions s
         SET published_ms = published_ms + CASE WHEN s.publishing AND b.publishing
                 THEN least(greatest(b.at - last_published_at, 0), $5) ELSE 0 END,
             publishing = b.publishing,
             last_published_at = CASE WHEN b.publishing THEN b.at ELSE last_published_at END,
             state = CASE WHEN b.publishing OR last_published_at IS NULL
                 THEN 'active' ELSE 'grace' END,
             lease_expires_at = CASE
                 WHEN b.publishing OR coalesce(last_published_at, started_at) > b.at - $7::int8
                     OR EXISTS (
                         SELECT FROM control.connections c
                         WHERE c.user_id = s.user_id AND c.name = s.connection_id)
                 THEN greatest(lease_expires_at, least(b.at + $6::int8, ends_at))
                 ELSE lease_expires_at END
         FROM b WHERE s.id = b.id AND s.state <> 'stopped'",
        &held.sessions as &[&str],
        &held.nodes as &[&str],
        &held.publishing,
        &held.at,
        millis(COUNTED_MAX),
        millis(renewal.lease),
        millis(renewal.grace)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The node confirmed that it holds sessions.
///
/// # Errors
/// When the database fails.
pub async fn confirm(
    pool: &Pool,
    node: &NodeId,
    sessions: impl IntoIterator<Item = &SessionId>,
) -> Result<(), Error> {
    let sessions: Vec<&str> = sessions.into_iter().map(SessionId::as_str).collect();
    if sessions.is_empty() {
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    let confirmed = sqlx::query_scalar!(
        "UPDATE control.sessions SET state = 'active'
         WHERE id IN (
             SELECT id FROM control.sessions
             WHERE id = ANY($1) AND node_id = $2 AND state = 'provisioning'
             ORDER BY id FOR NO KEY UPDATE)
         RETURNING id",
        &sessions as &[&str],
        node.as_str()
    )
    .fetch_all(&mut *transaction)
    .await?;
    for session in confirmed {
        wake::notify_session(&mut transaction, &column("sessions.id", &session)?).await?;
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
