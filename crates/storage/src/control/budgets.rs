//! Budgets of nodes: the offer, the account, the prospects, and what is held for
//! sessions. The documents are the domain's; this module keeps them.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{NodeId, SessionId, UnixMillis, UserId};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{column, number, stored};
use crate::{Error, Pool, Transaction};

/// What placement reads of a node's budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// The node.
    pub node_id: NodeId,
    /// The offer.
    pub policy: Value,
    /// The prospects.
    pub outlook: Value,
    /// What is held for its live sessions.
    pub held: Held,
    /// When its account was last settled.
    pub settled_at: UnixMillis,
}

/// What is held of a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes that are still to come, as the provider counts them.
    pub bytes: u64,
    /// Their rate, bits a second.
    pub counted_bps: u64,
    /// The rate of the port's busier direction, bits a second.
    pub port_bps: u64,
}

/// What settling reads and writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// The offer.
    pub policy: Value,
    /// The account.
    pub account: Value,
    /// What the node's counters show; none before its first heartbeat.
    pub counters: Option<Counters>,
}

/// A node's counters since its boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Which boot.
    pub boot_id: String,
    /// UDP payload bytes received.
    pub ingress_bytes: u64,
    /// UDP payload bytes sent.
    pub egress_bytes: u64,
}

/// What was done to a budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: UnixMillis,
    /// By whom; none: by the control plane itself.
    pub user_id: Option<UserId>,
    /// `policy`, `removed`, `reconciled` or `restriction`.
    pub kind: String,
    /// What there is to say.
    pub details: Value,
}

struct BudgetRow {
    node_id: String,
    policy: Value,
    outlook: Value,
    settled_at: i64,
    bytes: i64,
    counted_bps: i64,
    port_bps: i64,
}

impl TryFrom<BudgetRow> for Budget {
    type Error = Error;

    fn try_from(row: BudgetRow) -> Result<Self, Error> {
        Ok(Self {
            node_id: column("node_budgets.node_id", &row.node_id)?,
            policy: row.policy,
            outlook: row.outlook,
            settled_at: UnixMillis(row.settled_at),
            held: Held {
                bytes: number("held bytes", row.bytes)?,
                counted_bps: number("held counted_bps", row.counted_bps)?,
                port_bps: number("held port_bps", row.port_bps)?,
            },
        })
    }
}

/// Budgets of all nodes that have one, or of one node. However long a session lasted,
/// `tail` at its rate stays held for it.
///
/// # Errors
/// When the database fails.
pub async fn list(
    executor: impl PgExecutor<'_>,
    node: Option<&NodeId>,
    tail: Duration,
) -> Result<Vec<Budget>, Error> {
    let rows = sqlx::query_as!(
        BudgetRow,
        r#"SELECT b.node_id, b.policy, b.outlook, b.settled_at,
               held.bytes AS "bytes!", held.counted_bps AS "counted_bps!",
               held.port_bps AS "port_bps!"
           FROM control.node_budgets b
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(greatest(
                          s.hold_bytes - s.settled_bytes, s.hold_counted_bps / 8 * $2)), 0)::bigint AS bytes,
                      coalesce(sum(s.hold_counted_bps), 0)::bigint AS counted_bps,
                      coalesce(sum(s.hold_port_bps), 0)::bigint AS port_bps
               FROM control.sessions s
               WHERE s.node_id = b.node_id AND s.state <> 'stopped') held
           WHERE $1::text IS NULL OR b.node_id = $1"#,
        node.map(NodeId::as_str),
        stored(tail.as_secs())
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// By how much each node's account was off when the provider's reading was last taken, as
/// a share of that reading; above 0: we had counted too much.
///
/// # Errors
/// When the database fails.
pub async fn reconcile_errors(pool: &Pool) -> Result<BTreeMap<NodeId, f64>, Error> {
    let rows = sqlx::query!(
        r#"SELECT DISTINCT ON (e.node_id) e.node_id,
               (e.details ->> 'error_ratio')::float8 AS "error_ratio!"
           FROM control.node_budget_events e
           JOIN control.node_budgets b ON b.node_id = e.node_id
           WHERE e.kind = 'reconciled' AND jsonb_typeof(e.details -> 'error_ratio') = 'number'
           ORDER BY e.node_id, e.id DESC"#
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let node = column("node_budget_events.node_id", &row.node_id)?;
            Ok((node, row.error_ratio))
        })
        .collect()
}

/// At most `limit` nodes whose accounts were settled last before `before`, in the order of
/// their ids after `after`.
///
/// # Errors
/// When the database fails.
pub async fn due(
    pool: &Pool,
    before: UnixMillis,
    after: Option<&NodeId>,
    limit: u32,
) -> Result<Vec<NodeId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT node_id FROM control.node_budgets
         WHERE settled_at < $1 AND ($2::text IS NULL OR node_id > $2)
         ORDER BY node_id LIMIT $3",
        before.0,
        after.map(NodeId::as_str),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    ids.iter()
        .map(|id| column("node_budgets.node_id", id))
        .collect()
}

/// Keeps what is held for a session until it stops.
///
/// # Errors
/// When the database fails.
pub async fn hold(
    transaction: &mut Transaction,
    session: &SessionId,
    held: Held,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.sessions SET hold_bytes = $2, hold_counted_bps = $3, hold_port_bps = $4
         WHERE id = $1",
        session.as_str(),
        stored(held.bytes),
        stored(held.counted_bps),
        stored(held.port_bps)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Locks a node's account until the transaction ends. `None`: the node has no budget.
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &mut Transaction, node: &NodeId) -> Result<Option<Ledger>, Error> {
    let row = sqlx::query!(
        "SELECT policy, account FROM control.node_budgets WHERE node_id = $1 FOR UPDATE",
        node.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Ledger {
        policy: row.policy,
        account: row.account,
        counters: counters(transaction, node).await?,
    }))
}

/// What a node's counters show; none before its first heartbeat.
///
/// # Errors
/// When the database fails.
pub async fn counters(
    transaction: &mut Transaction,
    node: &NodeId,
) -> Result<Option<Counters>, Error> {
    let row = sqlx::query!(
        "SELECT boot_id, ingress_bytes, egress_bytes FROM control.nodes WHERE id = $1",
        node.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(boot_id) = row.boot_id else {
        return Ok(None);
    };
    Ok(Some(Counters {
        boot_id,
        ingress_bytes: number("nodes.ingress_bytes", row.ingress_bytes)?,
        egress_bytes: number("nodes.egress_bytes", row.egress_bytes)?,
    }))
}

/// Keeps a node's account and prospects.
///
/// # Errors
/// When the database fails.
pub async fn save(
    transaction: &mut Transaction,
    node: &NodeId,
    account: &Value,
    outlook: &Value,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.node_budgets SET account = $2, outlook = $3, settled_at = $4
         WHERE node_id = $1",
        node.as_str(),
        account,
        outlook,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Sets a node's offer, with the account and the prospects that follow from it.
///
/// # Errors
/// When the database fails.
pub async fn set(
    transaction: &mut Transaction,
    node: &NodeId,
    policy: &Value,
    [account, outlook]: [&Value; 2],
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.node_budgets (node_id, policy, account, outlook, settled_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (node_id) DO UPDATE SET policy = $2, account = $3, outlook = $4, settled_at = $5",
        node.as_str(),
        policy,
        account,
        outlook,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Takes a node's offer away: it is never out of bytes again. Says whether it had one.
///
/// # Errors
/// When the database fails.
pub async fn remove(transaction: &mut Transaction, node: &NodeId) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.node_budgets WHERE node_id = $1",
        node.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Books a node's real bytes on the holds of the sessions that publish, by their rates.
///
/// # Errors
/// When the database fails.
pub async fn settle(transaction: &mut Transaction, node: &NodeId, bytes: u64) -> Result<(), Error> {
    sqlx::query!(
        "WITH due AS MATERIALIZED (
             SELECT id, hold_counted_bps FROM control.sessions
             WHERE node_id = $1 AND state <> 'stopped' AND publishing
             ORDER BY id FOR NO KEY UPDATE)
         UPDATE control.sessions s
         SET settled_bytes = least(s.settled_bytes + ($2::float8 * s.hold_counted_bps / total.bps)::bigint,
                                   1000000000000000000)
         FROM due, (SELECT sum(hold_counted_bps)::float8 AS bps FROM due) total
         WHERE s.id = due.id AND s.hold_counted_bps > 0",
        node.as_str(),
        bytes as f64
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes down what was done to a budget, in the transaction that does it.
///
/// # Errors
/// When the database fails.
pub async fn record(
    transaction: &mut Transaction,
    node: &NodeId,
    event: &Event,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.node_budget_events (node_id, at, user_id, kind, details)
         VALUES ($1, $2, $3, $4, $5)",
        node.as_str(),
        event.at.0,
        event.user_id.as_ref().map(UserId::as_str),
        event.kind,
        event.details
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What was done to a node's budget, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn events(pool: &Pool, node: &NodeId, limit: u32) -> Result<Vec<Event>, Error> {
    let rows = sqlx::query!(
        "SELECT at, user_id, kind, details FROM control.node_budget_events
         WHERE node_id = $1 ORDER BY id DESC LIMIT $2",
        node.as_str(),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let user = row.user_id.as_deref();
            Ok(Event {
                at: UnixMillis(row.at),
                user_id: user
                    .map(|user| column("node_budget_events.user_id", user))
                    .transpose()?,
                kind: row.kind,
                details: row.details,
            })
        })
        .collect()
}
