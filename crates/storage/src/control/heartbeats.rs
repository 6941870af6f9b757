//! Nodes' heartbeats: their own counters, and the sessions they keep alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::node::{Heartbeat, SessionEvent, SessionEventKind};
use model::{NodeId, SessionId, UnixMillis};

use super::epochs::{self, StreamEpoch};
use super::usage::{self, COUNTED_MAX};
use super::{column, millis, stored, stored_count, wake};
use crate::{Error, Pool};

/// A longer time between two words of a node that both say published is remembered, and made
/// good later: see [`usage_gaps`](super::usage_gaps).
const GAP_MIN: Duration = Duration::from_secs(20);

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
    /// Which of its streams brought it.
    pub epoch: StreamEpoch,
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
/// Returns the nodes whose heartbeat came by another stream than their newest: it is not
/// written.
///
/// # Errors
/// When the database fails; then the next heartbeats make up for what is not written.
pub async fn record(
    pool: &Pool,
    beats: &[Beat],
    renewal: Renewal,
) -> Result<BTreeSet<NodeId>, Error> {
    // Whoever locks several rows does so in the order of their ids.
    let mut beats: Vec<&Beat> = beats.iter().collect();
    beats.sort_unstable_by(|a, b| a.node.cmp(&b.node));
    let newest = note_counters(pool, &beats).await?;
    let (beats, superseded): (Vec<&Beat>, Vec<&Beat>) = beats
        .into_iter()
        .partition(|beat| newest.contains(beat.node.as_str()));
    renew(pool, &Held::of(&beats), renewal).await?;
    Ok(superseded.iter().map(|beat| beat.node.clone()).collect())
}

/// Returns the nodes whose heartbeats were written.
async fn note_counters(pool: &Pool, beats: &[&Beat]) -> Result<BTreeSet<String>, Error> {
    let nodes: Vec<&str> = beats.iter().map(|beat| beat.node.as_str()).collect();
    let at: Vec<i64> = beats.iter().map(|beat| beat.at.0).collect();
    let publishers = beats.iter().map(|beat| stored_count(beat.said.publishers));
    let players = beats.iter().map(|beat| stored_count(beat.said.players));
    let loads = beats.iter().map(|beat| beat.said.data_thread_load_ratio);
    let boots: Vec<&str> = beats.iter().map(|beat| &*beat.said.boot_id).collect();
    let epochs: Vec<i64> = beats.iter().map(|beat| beat.epoch.0).collect();
    let counted = |of: fn(&Heartbeat) -> u64| -> Vec<i64> {
        let counted = beats.iter().map(|beat| stored(of(&beat.said)));
        counted.collect()
    };
    let written = sqlx::query_scalar!(
        "UPDATE control.nodes n
         SET heartbeat_at = b.at,
             ingress_bytes_before = ingress_bytes_before
                 + CASE WHEN n.boot_id IS DISTINCT FROM b.boot_id THEN n.ingress_bytes ELSE 0 END,
             egress_bytes_before = egress_bytes_before
                 + CASE WHEN n.boot_id IS DISTINCT FROM b.boot_id THEN n.egress_bytes ELSE 0 END,
             boot_id = b.boot_id, ingress_bytes = b.ingress, egress_bytes = b.egress,
             publishers = b.publishers, players = b.players, data_thread_load_ratio = b.load
         FROM unnest($1::text[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::int4[],
                 $7::int4[], $8::float8[], $9::int8[])
             AS b(id, at, boot_id, ingress, egress, publishers, players, load, epoch)
         WHERE n.id = b.id AND n.stream_epoch = b.epoch
         RETURNING n.id",
        &nodes as &[&str],
        &at,
        &boots as &[&str],
        &counted(|said| said.ingress_bytes_total),
        &counted(|said| said.egress_bytes_total),
        &publishers.collect::<Vec<i32>>(),
        &players.collect::<Vec<i32>>(),
        &loads.collect::<Vec<f64>>(),
        &epochs
    )
    .fetch_all(pool)
    .await?;
    Ok(written.into_iter().collect())
}

/// The sessions that nodes hold, one row each, a column a field.
#[derive(Default)]
pub(super) struct Held<'a> {
    pub(super) sessions: Vec<&'a str>,
    pub(super) nodes: Vec<&'a str>,
    /// Whether its own publisher is connected, not one that the node pulls.
    publishing: Vec<bool>,
    pulled: Vec<bool>,
    pub(super) at: Vec<i64>,
    pub(super) boots: Vec<&'a str>,
    /// What the node's counters show; none: nothing was moved.
    pub(super) ingress_bytes: Vec<Option<i64>>,
    pub(super) egress_bytes: Vec<Option<i64>>,
}

impl<'a> Held<'a> {
    fn of(beats: &[&'a Beat]) -> Self {
        let mut held = Self::default();
        for beat in beats {
            let called: BTreeSet<&SessionId> = beat.said.called().into_iter().collect();
            let pulled: BTreeSet<&SessionId> = beat.said.pulled().collect();
            let traffic = beat.said.traffic.iter();
            let traffic: BTreeMap<_, _> = traffic.map(|it| (&it.session_id, it)).collect();
            for session in &beat.said.held {
                let moved = traffic.get(session);
                held.publishing.push(called.contains(session));
                held.pulled.push(pulled.contains(session));
                held.ingress_bytes
                    .push(moved.map(|it| stored(it.ingress_bytes)));
                held.egress_bytes
                    .push(moved.map(|it| stored(it.egress_bytes)));
                let node = beat.node.as_str();
                held.push(session.as_str(), node, &beat.said.boot_id, beat.at);
            }
        }
        held
    }

    /// Sessions and their nodes, of which nothing was read.
    pub(super) fn unread(
        sessions: impl Iterator<Item = (&'a str, &'a str)>,
        at: UnixMillis,
    ) -> Self {
        let mut held = Self::default();
        for (session, node) in sessions {
            held.ingress_bytes.push(None);
            held.egress_bytes.push(None);
            held.push(session, node, "", at);
        }
        held
    }

    fn push(&mut self, session: &'a str, node: &'a str, boot: &'a str, at: UnixMillis) {
        self.sessions.push(session);
        self.nodes.push(node);
        self.boots.push(boot);
        self.at.push(at.0);
    }
}

async fn renew(pool: &Pool, held: &Held<'_>, renewal: Renewal) -> Result<(), Error> {
    if held.sessions.is_empty() {
        return Ok(());
    }
    usage::turn(pool, held).await?;
    sqlx::query!(
        "WITH b AS MATERIALIZED (
             SELECT s.id, b.publishing, b.pulled, b.at, b.boot_id, b.ingress, b.egress,
                 CASE WHEN s.publishing AND b.publishing THEN s.last_published_at END AS silent_since,
                 s.ingress_bytes AS ingress_before, s.published_ms AS published_before,
                 greatest(coalesce(b.ingress - CASE
                     WHEN s.counted_boot_id = b.boot_id THEN s.counted_ingress_bytes ELSE 0 END, 0), 0)
                     AS ingress_since
             FROM unnest($1::text[], $2::text[], $3::bool[], $4::int8[], $8::bool[], $9::text[],
                     $10::int8[], $11::int8[])
                 AS b(id, node_id, publishing, at, pulled, boot_id, ingress, egress)
             JOIN control.sessions s ON s.id = b.id AND s.node_id = b.node_id
             WHERE s.state <> 'stopped'
             ORDER BY s.id FOR NO KEY UPDATE OF s),
         gaps AS (
             INSERT INTO control.usage_gaps (session_id, began_at, ended_at, counted_ms,
                 ingress_bytes, ingress_bytes_before, published_ms_before)
             SELECT id, silent_since, at, least(at - silent_since, $5), ingress_since,
                 ingress_before, published_before
             FROM b WHERE at - silent_since > $12)
         UPDATE control.sessions s
         SET published_ms = published_ms + CASE WHEN s.publishing AND b.publishing
                 THEN least(greatest(b.at - last_published_at, 0), $5) ELSE 0 END,
             publishing = b.publishing,
             last_published_at = CASE WHEN b.publishing THEN b.at ELSE last_published_at END,
             state = CASE WHEN s.state = 'draining' THEN s.state
                 WHEN b.publishing OR last_published_at IS NULL THEN 'active' ELSE 'grace' END,
             lease_expires_at = CASE
                 WHEN b.publishing OR b.pulled
                     OR coalesce(last_published_at, started_at) > b.at - $7::int8
                     OR EXISTS (
                         SELECT FROM control.connections c
                         WHERE c.user_id = s.user_id AND c.name = s.connection_id)
                 THEN greatest(lease_expires_at, least(b.at + $6::int8, ends_at))
                 ELSE lease_expires_at END,
             ingress_bytes = s.ingress_bytes + b.ingress_since,
             egress_bytes = s.egress_bytes + greatest(coalesce(b.egress - CASE
                 WHEN counted_boot_id = b.boot_id THEN counted_egress_bytes ELSE 0 END, 0), 0),
             counted_boot_id = CASE WHEN b.ingress IS NULL THEN counted_boot_id ELSE b.boot_id END,
             counted_ingress_bytes = coalesce(b.ingress, counted_ingress_bytes),
             counted_egress_bytes = coalesce(b.egress, counted_egress_bytes)
         FROM b WHERE s.id = b.id AND s.state <> 'stopped'",
        &held.sessions as &[&str],
        &held.nodes as &[&str],
        &held.publishing,
        &held.at,
        millis(COUNTED_MAX),
        millis(renewal.lease),
        millis(renewal.grace),
        &held.pulled,
        &held.boots as &[&str],
        &held.ingress_bytes as &[Option<i64>],
        &held.egress_bytes as &[Option<i64>],
        millis(GAP_MIN)
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

/// Takes a node's word that a publisher came or went, by its newest stream; other events
/// change no row, nor do those about a publisher that the node called itself.
///
/// # Errors
/// When the database fails.
pub async fn observe(
    pool: &Pool,
    (node, epoch): (&NodeId, StreamEpoch),
    event: &SessionEvent,
    now: UnixMillis,
) -> Result<(), Error> {
    let publishing = match event.kind {
        _ if event.pulled => return Ok(()),
        SessionEventKind::PublisherConnected => true,
        SessionEventKind::PublisherGone => false,
        _ => return Ok(()),
    };
    let mut transaction = pool.begin().await?;
    if !epochs::is_newest(&mut transaction, node, epoch).await? {
        return Ok(());
    }
    let observed = std::iter::once((event.session_id.as_str(), node.as_str()));
    usage::turn(&mut *transaction, &Held::unread(observed, now)).await?;
    let observed = sqlx::query!(
        "UPDATE control.sessions
         SET published_ms = published_ms + CASE WHEN publishing
                 THEN least(greatest($4 - last_published_at, 0), $5) ELSE 0 END,
             publishing = $3, last_published_at = $4,
             state = CASE WHEN state = 'draining' THEN state
                          WHEN $3 THEN 'active' ELSE 'grace' END
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
