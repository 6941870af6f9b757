//! The names of stream slots in the DNS: what their records should be follows from the
//! sessions, and is compared with what was last written.
//!
//! ```text
//!          claim                    published
//! differs ───────▶ being written ─────────────▶ settled ──(sessions change)──▶ differs
//!    ▲                  │ failed, left, lapsed
//!    └──────────────────┘
//! ```
//! While a record is being written, nobody knows what the zone has: only [`published`]
//! settles it, so that an attempt whose end is unknown is followed by another.

use std::time::Duration;

use model::{NodeId, StreamId, UnixMillis};
use sqlx::PgExecutor;

use super::{column, number, stored_count};
use crate::{Error, Pool, Transaction};

/// The longest wait between two attempts at one record.
const RETRY_MAX_MS: i64 = 60_000;

/// How records should be.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// What names end with, without a dot at either end.
    pub zone: &'a str,
    /// How long resolvers may keep a record, seconds.
    pub ttl_seconds: u32,
    /// How long a name is kept without a live session.
    pub keep: Duration,
    /// How long a record is believed to be as it was written.
    pub refresh: Duration,
}

/// A record to be written, by whoever claimed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The slot.
    pub stream_id: StreamId,
    /// The number of the claim.
    pub claim: u64,
    /// The whole name.
    pub name: String,
    /// What it should point at; none: it should have no record.
    pub host: Option<String>,
    /// How long resolvers may keep it, seconds.
    pub ttl_seconds: u32,
}

/// Hands out at most `limit` records that are not what they should be, for as long as `claim`.
///
/// A name points at the node that has the slot's stream: the live session's; while the
/// stream moves, the old session's until the new node has said that it is ready. Without a
/// session it stays for [`Plan::keep`], unless its node was banned.
///
/// # Errors
/// When the database fails; then none was handed out.
pub async fn claim(
    transaction: &mut Transaction,
    plan: Plan<'_>,
    now: UnixMillis,
    limit: u32,
    claim: Duration,
) -> Result<Vec<Change>, Error> {
    note_idle(transaction, now).await?;
    let rows = sqlx::query!(
        r#"WITH live AS (
               SELECT DISTINCT ON (stream_id) stream_id, node_id
               FROM control.sessions WHERE state <> 'stopped'
               ORDER BY stream_id, CASE state WHEN 'draining' THEN 1 WHEN 'provisioning' THEN 2
                   ELSE 0 END, started_at DESC, id DESC
           ), intended AS (
               SELECT st.id AS stream_id, n.id AS node_id, st.dns_label || '.' || $2 AS name,
                   CASE WHEN l.stream_id IS NOT NULL
                       OR (r.idle_at > $3 AND n.intent <> 'banned')
                       THEN n.public_host END AS host,
                   l.stream_id IS NULL AS is_idle
               FROM live l FULL JOIN control.dns_records r ON r.stream_id = l.stream_id
               JOIN control.streams st ON st.id = coalesce(l.stream_id, r.stream_id)
               JOIN control.nodes n ON n.id = coalesce(l.node_id, r.node_id)
           ), due AS (
               SELECT i.stream_id, i.node_id, i.host
               FROM intended i LEFT JOIN control.dns_records r ON r.stream_id = i.stream_id
               WHERE CASE WHEN r.stream_id IS NULL THEN i.host IS NOT NULL
                   ELSE r.claimed_until <= $1 AND r.retry_at <= $1 AND (
                       NOT r.settled OR r.published_at <= $4 OR r.ttl_seconds <> $5
                       OR r.name IS DISTINCT FROM i.name OR r.host IS DISTINCT FROM i.host) END
               ORDER BY i.is_idle, coalesce(r.failures, 0), coalesce(r.published_at, 0), i.stream_id
               LIMIT $6
           ), claimed AS (
               INSERT INTO control.dns_records AS r
                   (stream_id, node_id, intended_host, claimed_until)
               SELECT stream_id, node_id, host, $7 FROM due ORDER BY stream_id
               ON CONFLICT (stream_id) DO UPDATE
               SET node_id = EXCLUDED.node_id, intended_host = EXCLUDED.intended_host,
                   claimed_until = EXCLUDED.claimed_until, claim = r.claim + 1, settled = false,
                   name = CASE WHEN EXCLUDED.intended_host IS NOT NULL THEN r.name END
               WHERE r.claimed_until <= $1
               RETURNING r.stream_id, r.claim, r.intended_host
           )
           SELECT c.stream_id AS "stream_id!", c.claim AS "claim!", c.intended_host AS host,
               st.dns_label || '.' || $2 AS "name!"
           FROM claimed c JOIN control.streams st ON st.id = c.stream_id
           ORDER BY c.intended_host IS NULL, c.stream_id"#,
        now.0,
        plan.zone,
        now.minus(plan.keep).0,
        now.minus(plan.refresh).0,
        stored_count(plan.ttl_seconds),
        i64::from(limit),
        now.plus(claim).0
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Change {
                stream_id: column("dns_records.stream_id", &row.stream_id)?,
                claim: number("dns_records.claim", row.claim)?,
                name: row.name,
                host: row.host,
                ttl_seconds: plan.ttl_seconds,
            })
        })
        .collect()
}

/// Writes down which slots have had no live session, and since when.
async fn note_idle(transaction: &mut Transaction, now: UnixMillis) -> Result<(), Error> {
    sqlx::query!(
        "WITH live AS (SELECT DISTINCT stream_id FROM control.sessions WHERE state <> 'stopped'),
         noted AS (
             SELECT r.stream_id, l.stream_id IS NOT NULL AS is_live
             FROM control.dns_records r LEFT JOIN live l ON l.stream_id = r.stream_id
             WHERE (r.idle_at IS NULL) <> (l.stream_id IS NOT NULL)
             ORDER BY r.stream_id FOR UPDATE OF r)
         UPDATE control.dns_records r
         SET idle_at = CASE WHEN n.is_live THEN NULL ELSE $1::bigint END
         FROM noted n WHERE n.stream_id = r.stream_id",
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Settles a record that was written; one that is no more is forgotten. Says whether the
/// claim still held.
///
/// # Errors
/// When the database fails.
pub async fn published(
    transaction: &mut Transaction,
    change: &Change,
    now: UnixMillis,
) -> Result<bool, Error> {
    let Some(host) = &change.host else {
        return forget(transaction, change).await;
    };
    let done = sqlx::query!(
        "UPDATE control.dns_records
         SET name = $3, host = $4, ttl_seconds = $5, published_at = $6, settled = true,
             claimed_until = 0, failures = 0, failure = NULL, retry_at = 0
         WHERE stream_id = $1 AND claim = $2",
        change.stream_id.as_str(),
        claim_number(change),
        change.name,
        host,
        stored_count(change.ttl_seconds),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn forget(transaction: &mut Transaction, change: &Change) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.dns_records WHERE stream_id = $1 AND claim = $2",
        change.stream_id.as_str(),
        claim_number(change)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a claim back with the reason why the record was not written; it is tried again
/// after a while that grows. Says whether the claim still held.
///
/// # Errors
/// When the database fails.
pub async fn failed(
    transaction: &mut Transaction,
    change: &Change,
    failure: &str,
    now: UnixMillis,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE control.dns_records
         SET claimed_until = 0, failures = least(failures + 1, 1000000), failure = $3,
             retry_at = $4 + least(1000 * (2 ^ least(failures, 10))::bigint, $5)
         WHERE stream_id = $1 AND claim = $2",
        change.stream_id.as_str(),
        claim_number(change),
        failure,
        now.0,
        RETRY_MAX_MS
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a claim back for a record that was not tried. Says whether the claim still held.
///
/// # Errors
/// When the database fails.
pub async fn left(transaction: &mut Transaction, change: &Change) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE control.dns_records SET claimed_until = 0 WHERE stream_id = $1 AND claim = $2",
        change.stream_id.as_str(),
        claim_number(change)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn claim_number(change: &Change) -> i64 {
    i64::try_from(change.claim).unwrap_or(i64::MAX)
}

/// Lets every record be written again, whether or not it is what it should be. Says how
/// many.
///
/// # Errors
/// When the database fails.
pub async fn distrust(transaction: &mut Transaction) -> Result<u64, Error> {
    let done = sqlx::query!("UPDATE control.dns_records SET settled = false, retry_at = 0")
        .execute(&mut **transaction)
        .await?;
    Ok(done.rows_affected())
}

/// All records together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// With a record.
    pub published: u64,
    /// Whose record is not known to be what it should be.
    pub pending: u64,
    /// Of those, the ones with trouble.
    pub failing: u64,
    /// When one was last written.
    pub published_at: Option<UnixMillis>,
}

/// Counts the records.
///
/// # Errors
/// When the database fails.
pub async fn counts(executor: impl PgExecutor<'_>) -> Result<Counts, Error> {
    let row = sqlx::query!(
        r#"SELECT count(name) AS "published!", count(*) FILTER (WHERE NOT settled) AS "pending!",
               count(*) FILTER (WHERE failures > 0) AS "failing!", max(published_at) AS published_at
           FROM control.dns_records"#
    )
    .fetch_one(executor)
    .await?;
    Ok(Counts {
        published: number("count", row.published)?,
        pending: number("count", row.pending)?,
        failing: number("count", row.failing)?,
        published_at: row.published_at.map(UnixMillis),
    })
}

/// A record as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The slot.
    pub stream_id: StreamId,
    /// The node that it points at, or is to.
    pub node_id: NodeId,
    /// The name's first label.
    pub label: String,
    /// What the zone had last, for certain: the whole name and what it pointed at.
    pub published: Option<(String, String)>,
    /// When that was written.
    pub published_at: Option<UnixMillis>,
    /// What whoever claimed it last makes it point at; none: the record is to go.
    pub intended_host: Option<String>,
    /// Whether the zone has what it should have.
    pub is_settled: bool,
    /// Since when the slot has had no live session.
    pub idle_at: Option<UnixMillis>,
    /// Attempts that failed one after the other.
    pub failures: u32,
    /// Why the last one did.
    pub failure: Option<String>,
}

/// Records, those with trouble first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, limit: u32) -> Result<Vec<Record>, Error> {
    let rows = sqlx::query!(
        "SELECT r.stream_id, r.node_id, r.name, r.host, r.published_at, r.intended_host, r.settled,
             r.idle_at, r.failures, r.failure, st.dns_label
         FROM control.dns_records r JOIN control.streams st ON st.id = r.stream_id
         ORDER BY r.failures DESC, r.settled, coalesce(r.published_at, 0) DESC, r.stream_id
         LIMIT $1",
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Record {
                stream_id: column("dns_records.stream_id", &row.stream_id)?,
                node_id: column("dns_records.node_id", &row.node_id)?,
                label: row.dns_label,
                published: row.name.zip(row.host),
                published_at: row.published_at.map(UnixMillis),
                intended_host: row.intended_host,
                is_settled: row.settled,
                idle_at: row.idle_at.map(UnixMillis),
                failures: number("dns_records.failures", row.failures)?,
                failure: row.failure,
            })
        })
        .collect()
}
