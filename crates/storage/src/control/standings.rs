//! What nodes are found to be, and what the operator wants of them.

use std::collections::BTreeMap;

use model::node::{NodeHealth, NodeIntent, NodeState};
use model::{NodeId, UnixMillis};
use serde_json::Value;
use sqlx::PgExecutor;

use super::epochs::StreamEpoch;
use super::{column, nodes, number, wake};
use crate::{Error, Pool, Transaction};

/// What is known of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What is observed of it.
    pub health: NodeHealth,
    /// The last looks at it: a document of the domain; none: nobody looked yet.
    pub vitals: Option<Value>,
    /// What the operator wants.
    pub intent: NodeIntent,
    /// Why, in the operator's words.
    pub intent_reason: Option<String>,
    /// Since when.
    pub intent_at: Option<UnixMillis>,
    /// Until when a draining node may keep its sessions.
    pub drain_deadline: Option<UnixMillis>,
    /// What it was found to be.
    pub state: NodeState,
    /// Why.
    pub state_reason: String,
    /// Since when.
    pub state_at: Option<UnixMillis>,
    /// What its provider lets through: a word of placement; none: no budget.
    pub restriction: Option<String>,
    /// Whether callers from outside find it.
    pub is_reachable: bool,
    /// Live sessions on it.
    pub sessions: u32,
    /// Its last heartbeat.
    pub heartbeat_at: Option<UnixMillis>,
}

/// What a node is found to be now.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What is observed of it.
    pub health: NodeHealth,
    /// The last looks at it.
    pub vitals: Value,
    /// What it is to the control plane.
    pub state: NodeState,
    /// Why.
    pub reason: &'static str,
    /// Since when, if it was something else before.
    pub changed_at: Option<UnixMillis>,
}

/// The operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub intent: NodeIntent,
    /// Why.
    pub reason: Option<String>,
    /// Until when a draining node may keep its sessions.
    pub drain_deadline: Option<UnixMillis>,
}

macro_rules! select_standings {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT n.id, n.health, n.vitals, n.intent, n.intent_reason, n.intent_at,
                n.drain_deadline, n.standing, n.standing_reason, n.standing_at, n.heartbeat_at,
                b.outlook->>'restriction' AS restriction,
                coalesce(p.is_reachable, true) AS "is_reachable!",
                (SELECT count(*) FROM control.sessions s
                 WHERE s.node_id = n.id AND s.state <> 'stopped') AS "sessions!"
            FROM control.nodes n LEFT JOIN control.node_budgets b ON b.node_id = n.id
            LEFT JOIN control.node_probes p ON p.node_id = n.id "# + $tail
            $(, $argument)*
        )
    };
}

/// What is known of a node, locked until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &mut Transaction, id: &NodeId) -> Result<Option<Standing>, Error> {
    nodes::hold(transaction, id).await?;
    find(&mut **transaction, id).await
}

/// What is known of a node.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, id: &NodeId) -> Result<Option<Standing>, Error> {
    let row = select_standings!("WHERE n.id = $1 AND n.removed_at IS NULL", id.as_str())
        .fetch_optional(executor)
        .await?;
    let known: Option<(NodeId, Standing)> = row.map(TryInto::try_into).transpose()?;
    Ok(known.map(|(_, standing)| standing))
}

/// What is known of every node.
///
/// # Errors
/// When the database fails.
pub async fn all(pool: &Pool) -> Result<BTreeMap<NodeId, Standing>, Error> {
    let rows = select_standings!("WHERE n.removed_at IS NULL")
        .fetch_all(pool)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Writes what a node is found to be; the words that older code reads follow.
///
/// # Errors
/// When the database fails.
pub async fn write(transaction: &mut Transaction, id: &NodeId, found: &Found) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.nodes
         SET health = $2, vitals = $3, standing = $4, standing_reason = $5,
             standing_at = coalesce($6, standing_at), state = $7
         WHERE id = $1",
        id.as_str(),
        found.health.as_str(),
        found.vitals,
        found.state.as_str(),
        found.reason,
        found.changed_at.map(|at| at.0),
        older_word(found.state)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Keeps the last looks at a node whose health they do not change, of its newest stream.
///
/// # Errors
/// When the database fails.
pub async fn keep_vitals(
    pool: &Pool,
    (id, epoch): (&NodeId, StreamEpoch),
    health: NodeHealth,
    vitals: &Value,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.nodes SET vitals = $3
         WHERE id = $1 AND health = $2 AND stream_epoch = $4",
        id.as_str(),
        health.as_str(),
        vitals,
        epoch.0
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Takes the operator's word, and wakes the node's stream.
///
/// # Errors
/// When the database fails.
pub async fn want(
    transaction: &mut Transaction,
    id: &NodeId,
    wanted: &Wanted,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.nodes
         SET intent = $2, intent_reason = $3, drain_deadline = $4, intent_at = $5,
             draining = $2 <> 'none'
         WHERE id = $1",
        id.as_str(),
        wanted.intent.as_str(),
        wanted.reason,
        wanted.drain_deadline.map(|at| at.0),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify(transaction, id).await
}

/// At most `limit` nodes that are not known to be silent, and were last heard before
/// `silent_since`.
///
/// # Errors
/// When the database fails.
pub async fn silent(
    pool: &Pool,
    silent_since: UnixMillis,
    limit: u32,
) -> Result<Vec<NodeId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM control.nodes
         WHERE health IN ('probation', 'active', 'degraded') AND heartbeat_at < $1
             AND removed_at IS NULL
         ORDER BY heartbeat_at LIMIT $2",
        silent_since.0,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    ids.iter().map(|id| column("nodes.id", id)).collect()
}

/// As near as the four words come that there were before.
const fn older_word(state: NodeState) -> &'static str {
    match state {
        NodeState::New => "new",
        NodeState::Offline | NodeState::Banned => "offline",
        NodeState::Draining | NodeState::Drained | NodeState::Quarantined => "draining",
        NodeState::Probation
        | NodeState::Active
        | NodeState::Degraded
        | NodeState::Throttled
        | NodeState::Exhausted => "active",
    }
}

struct Row {
    id: String,
    health: String,
    vitals: Option<Value>,
    intent: String,
    intent_reason: Option<String>,
    intent_at: Option<i64>,
    drain_deadline: Option<i64>,
    standing: String,
    standing_reason: String,
    standing_at: Option<i64>,
    heartbeat_at: Option<i64>,
    restriction: Option<String>,
    is_reachable: bool,
    sessions: i64,
}

impl TryFrom<Row> for (NodeId, Standing) {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let standing = Standing {
            health: column("nodes.health", &row.health)?,
            vitals: row.vitals,
            intent: column("nodes.intent", &row.intent)?,
            intent_reason: row.intent_reason,
            intent_at: row.intent_at.map(UnixMillis),
            drain_deadline: row.drain_deadline.map(UnixMillis),
            state: column("nodes.standing", &row.standing)?,
            state_reason: row.standing_reason,
            state_at: row.standing_at.map(UnixMillis),
            restriction: row.restriction,
            is_reachable: row.is_reachable,
            sessions: number("sessions", row.sessions)?,
            heartbeat_at: row.heartbeat_at.map(UnixMillis),
        };
        Ok((column("nodes.id", &row.id)?, standing))
    }
}
