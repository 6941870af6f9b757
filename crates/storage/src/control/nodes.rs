//! Nodes: enrolment, their words about themselves, the operator's words about them.

use std::collections::BTreeMap;

use model::node::{Hello, Node, NodeAddress, NodeHealth, NodeIntent, NodeState};
use model::{NodeId, Region, UnixMillis};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{column, number, stored_count, wake};
use crate::{Error, Pool, Transaction};

/// A node that an operator makes.
#[derive(Debug, Clone)]
pub struct NewNode {
    /// Its identifier.
    pub id: NodeId,
    /// The operator's name for it.
    pub name: String,
    /// Where it stands.
    pub region: Region,
    /// The most sessions the operator lets it have; none: as many as it says.
    pub sessions_limit: Option<u32>,
    /// What the node shows once to get its credential.
    pub join_token_sha256: [u8; 32],
    /// Until when.
    pub join_token_expires_at: UnixMillis,
    /// What is known of its health beforehand: a document of the domain.
    pub vitals: Value,
}

struct NodeRow {
    id: String,
    name: String,
    region: String,
    state: String,
    health: String,
    public_host: Option<String>,
    udp_port: Option<i32>,
    publish_port: Option<i32>,
    play_port: Option<i32>,
    version: Option<String>,
    sessions_max: i32,
    sessions: i64,
    heartbeat_at: Option<i64>,
}

impl TryFrom<NodeRow> for Node {
    type Error = Error;

    fn try_from(row: NodeRow) -> Result<Self, Error> {
        Ok(Self {
            id: column("nodes.id", &row.id)?,
            name: row.name,
            region: column("nodes.region", &row.region)?,
            state: column("nodes.standing", &row.state)?,
            health: column("nodes.health", &row.health)?,
            address: address(
                row.public_host,
                [row.udp_port, row.publish_port, row.play_port],
            )?,
            version: row.version,
            sessions_max: number("nodes.sessions_max", row.sessions_max)?,
            sessions: number("sessions", row.sessions)?,
            heartbeat_at: row.heartbeat_at.map(UnixMillis),
        })
    }
}

/// The address in its columns: all or none is there.
pub(super) fn address(
    host: Option<String>,
    [udp, publish, play]: [Option<i32>; 3],
) -> Result<Option<NodeAddress>, Error> {
    let (Some(public_host), Some(udp), Some(publish), Some(play)) = (host, udp, publish, play)
    else {
        return Ok(None);
    };
    Ok(Some(NodeAddress {
        public_host,
        udp_port: number("nodes.udp_port", udp)?,
        publish_port: number("nodes.publish_port", publish)?,
        play_port: number("nodes.play_port", play)?,
    }))
}

macro_rules! select_nodes {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            NodeRow,
            r#"SELECT n.id, n.name, n.region, n.standing AS state, n.health, n.public_host, n.udp_port, n.publish_port,
                n.play_port, n.version, n.heartbeat_at,
                least(n.sessions_limit, n.sessions_reported) AS "sessions_max!",
                (SELECT count(*) FROM control.sessions s
                 WHERE s.node_id = n.id AND s.state <> 'stopped') AS "sessions!"
            FROM control.nodes n "# + $tail
            $(, $argument)*
        )
    };
}

/// Adds a node.
///
/// # Errors
/// [`Error::Conflict`] when the name is taken.
pub async fn create(
    executor: impl PgExecutor<'_>,
    node: &NewNode,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.nodes
             (id, name, region, sessions_limit, join_token_sha256, join_token_expires_at, created_at,
              standing_at, vitals)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
        node.id.as_str(),
        node.name,
        node.region.as_str(),
        node.sessions_limit.map(stored_count),
        &node.join_token_sha256,
        node.join_token_expires_at.0,
        now.0,
        node.vitals
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Exchanges a join token for a credential. The token is good until its node connects:
/// an answer that got lost is asked for again, and the credential in it opens nothing
/// from then on.
///
/// # Errors
/// When the database fails.
pub async fn enrol(
    pool: &Pool,
    join_token_sha256: &[u8; 32],
    credential_sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<Option<NodeId>, Error> {
    let id = sqlx::query_scalar!(
        "UPDATE control.nodes
         SET credential_sha256 = $2
         WHERE join_token_sha256 = $1 AND join_token_expires_at > $3 RETURNING id",
        join_token_sha256,
        credential_sha256,
        now.0
    )
    .fetch_optional(pool)
    .await?;
    id.map(|id| column("nodes.id", &id)).transpose()
}

/// The node whose credential has this hash, unless it is banned.
///
/// # Errors
/// When the database fails.
pub async fn by_credential(
    pool: &Pool,
    credential_sha256: &[u8; 32],
) -> Result<Option<NodeId>, Error> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM control.nodes WHERE credential_sha256 = $1 AND intent <> 'banned'",
        credential_sha256
    )
    .fetch_optional(pool)
    .await?;
    id.map(|id| column("nodes.id", &id)).transpose()
}

/// Every node, by name.
///
/// # Errors
/// When the database fails.
pub async fn list(executor: impl PgExecutor<'_>) -> Result<Vec<Node>, Error> {
    let rows = select_nodes!("WHERE n.removed_at IS NULL ORDER BY n.name")
        .fetch_all(executor)
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One node.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, id: &NodeId) -> Result<Option<Node>, Error> {
    let row = select_nodes!("WHERE n.id = $1 AND n.removed_at IS NULL", id.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Locks a node until the transaction ends.
pub(super) async fn hold(transaction: &mut Transaction, id: &NodeId) -> Result<(), Error> {
    sqlx::query!(
        "SELECT id FROM control.nodes WHERE id = $1 FOR NO KEY UPDATE",
        id.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(())
}

/// One node, locked until the transaction ends: nobody else places a session on it
/// meanwhile. The load is what is committed once the lock is held.
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &mut Transaction, id: &NodeId) -> Result<Option<Node>, Error> {
    hold(transaction, id).await?;
    find(&mut **transaction, id).await
}

/// Takes what a node says of itself as it connects, which uses its join token up. The
/// region stays the operator's.
///
/// # Errors
/// When the database fails.
pub async fn connected(
    transaction: &mut Transaction,
    hello: &Hello,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.nodes
         SET public_host = $2, udp_port = $3, publish_port = $4, play_port = $5, version = $6,
             sessions_reported = $7, heartbeat_at = $8,
             join_token_sha256 = NULL, join_token_expires_at = NULL
         WHERE id = $1",
        hello.node_id.as_str(),
        hello.address.public_host,
        i32::from(hello.address.udp_port),
        i32::from(hello.address.publish_port),
        i32::from(hello.address.play_port),
        hello.version,
        stored_count(hello.sessions_max),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Takes the operator's limit on sessions; none: as many as the node says. `None`: no such
/// node.
///
/// # Errors
/// When the database fails.
pub async fn set_sessions_limit(
    transaction: &mut Transaction,
    id: &NodeId,
    sessions_limit: Option<u32>,
) -> Result<Option<Node>, Error> {
    sqlx::query!(
        "UPDATE control.nodes SET sessions_limit = $2 WHERE id = $1",
        id.as_str(),
        sessions_limit.map(stored_count)
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify(transaction, id).await?;
    find(&mut **transaction, id).await
}

/// Whether a node said anything since `since`.
///
/// # Errors
/// When the database fails.
pub async fn is_heard(
    executor: impl PgExecutor<'_>,
    id: &NodeId,
    since: UnixMillis,
) -> Result<bool, Error> {
    let is_heard = sqlx::query_scalar!(
        r#"SELECT heartbeat_at > $2 AS "is_heard!" FROM control.nodes
           WHERE id = $1 AND heartbeat_at IS NOT NULL"#,
        id.as_str(),
        since.0
    )
    .fetch_optional(executor)
    .await?;
    Ok(is_heard.unwrap_or(false))
}

/// Removes a node: its credential opens nothing and its name is free again. The row stays
/// for the sessions that were on it.
///
/// # Errors
/// When the database fails.
pub async fn remove(
    transaction: &mut Transaction,
    id: &NodeId,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.nodes
         SET removed_at = $2, name = id, state = 'offline', draining = true,
             credential_sha256 = NULL, join_token_sha256 = NULL, join_token_expires_at = NULL
         WHERE id = $1",
        id.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify(transaction, id).await
}

/// What the operator wants of a node, and what it is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// What it should do.
    pub intent: NodeIntent,
    /// Hold no more than this; none: as many as it can.
    pub sessions_limit: Option<u32>,
    /// What is observed of it, as it was written last.
    pub health: NodeHealth,
    /// What it is to the control plane, as it was written last.
    pub state: NodeState,
    /// Whether a heartbeat came since it was found offline.
    pub is_heard_since: bool,
    /// What its provider lets through: a word of placement; none: no budget.
    pub restriction: Option<String>,
    /// Whether callers from outside find it.
    pub is_reachable: bool,
}

/// Stands for everything that a node should be told: its orders, its sessions and their
/// streams as they are set. Another value means that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub i64);

macro_rules! select_orders {
    ($tail:tt, $argument:expr) => {
        sqlx::query!(
            r#"SELECT o.id, o.intent, o.sessions_limit, o.health, o.standing, o.restriction,
                o.is_heard_since AS "is_heard_since!", o.is_reachable AS "is_reachable!",
                hashtextextended(o::text, 0) # coalesce((
                    SELECT bit_xor(hashtextextended(s.id || t::text || coalesce(p.node_id, ''), 0))
                    FROM control.sessions s JOIN control.streams t ON t.id = s.stream_id
                    LEFT JOIN control.sessions p ON p.id = s.supersedes AND p.state = 'draining'
                    WHERE s.node_id = o.id AND s.state <> 'stopped'), 0) AS "fingerprint!"
            FROM (
                SELECT n.id, n.intent, n.sessions_limit, n.health, n.standing,
                    b.outlook->>'restriction' AS restriction,
                    n.health = 'offline' AND coalesce(n.heartbeat_at >= n.standing_at, false)
                        AS is_heard_since, coalesce(p.is_reachable, true) AS is_reachable
                FROM control.nodes n LEFT JOIN control.node_budgets b ON b.node_id = n.id
                LEFT JOIN control.node_probes p ON p.node_id = n.id
                WHERE n.removed_at IS NULL) o "#
                + $tail,
            $argument
        )
    };
}

/// What the operator wants of this node, and what stands for all that it should be told.
///
/// # Errors
/// When the database fails.
pub async fn orders(pool: &Pool, id: &NodeId) -> Result<Option<(Orders, Fingerprint)>, Error> {
    let row = select_orders!("WHERE o.id = $1", id.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|row| {
        let limit = row
            .sessions_limit
            .map(|limit| number("nodes.sessions_limit", limit));
        let orders = Orders {
            intent: column("nodes.intent", &row.intent)?,
            sessions_limit: limit.transpose()?,
            health: column("nodes.health", &row.health)?,
            state: column("nodes.standing", &row.standing)?,
            is_heard_since: row.is_heard_since,
            restriction: row.restriction,
            is_reachable: row.is_reachable,
        };
        Ok((orders, Fingerprint(row.fingerprint)))
    })
    .transpose()
}

/// What stands for all that each of these nodes should be told; one that is no longer
/// enrolled is left out.
///
/// # Errors
/// When the database fails.
pub async fn fingerprints(
    pool: &Pool,
    ids: &[NodeId],
) -> Result<BTreeMap<NodeId, Fingerprint>, Error> {
    let ids: Vec<&str> = ids.iter().map(NodeId::as_str).collect();
    let rows = select_orders!("WHERE o.id = ANY($1)", &ids as &[&str])
        .fetch_all(pool)
        .await?;
    rows.into_iter()
        .map(|row| Ok((column("nodes.id", &row.id)?, Fingerprint(row.fingerprint))))
        .collect()
}

/// What is known of a node beside its standing.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// When an operator made it.
    pub created_at: UnixMillis,
    /// Whether it has a credential.
    pub is_enrolled: bool,
    /// The operator's limit; none: the node's own.
    pub sessions_limit: Option<u32>,
    /// Its last heartbeat.
    pub beat: Option<Beat>,
}

/// What a heartbeat said.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// Random at process start.
    pub boot_id: String,
    /// Publishers connected.
    pub publishers: u32,
    /// Players connected.
    pub players: u32,
    /// Share of one core the data thread uses, 0 to 1.
    pub data_thread_load_ratio: f64,
    /// UDP payload bytes received, in all boots.
    pub ingress_bytes_total: u64,
    /// UDP payload bytes sent, in all boots.
    pub egress_bytes_total: u64,
}

/// What is known of a node beside its standing.
///
/// # Errors
/// When the database fails.
pub async fn figures(pool: &Pool, id: &NodeId) -> Result<Option<Figures>, Error> {
    let row = sqlx::query!(
        r#"SELECT created_at, credential_sha256 IS NOT NULL AS "is_enrolled!", sessions_limit,
                boot_id, publishers, players, data_thread_load_ratio,
                ingress_bytes + ingress_bytes_before AS "ingress!",
                egress_bytes + egress_bytes_before AS "egress!"
           FROM control.nodes WHERE id = $1 AND removed_at IS NULL"#,
        id.as_str()
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let limit = row.sessions_limit;
        let limit = limit.map(|limit| number("nodes.sessions_limit", limit));
        let beat = row.boot_id.map(|boot_id| {
            Ok::<_, Error>(Beat {
                boot_id,
                publishers: number("nodes.publishers", row.publishers)?,
                players: number("nodes.players", row.players)?,
                data_thread_load_ratio: row.data_thread_load_ratio,
                ingress_bytes_total: number("nodes.ingress_bytes", row.ingress)?,
                egress_bytes_total: number("nodes.egress_bytes", row.egress)?,
            })
        });
        Ok(Figures {
            created_at: UnixMillis(row.created_at),
            is_enrolled: row.is_enrolled,
            sessions_limit: limit.transpose()?,
            beat: beat.transpose()?,
        })
    })
    .transpose()
}

/// How many nodes are in each state; a state without any is left out.
///
/// # Errors
/// When the database fails.
pub async fn count_by_state(pool: &Pool) -> Result<Vec<(NodeState, u32)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT standing, count(*) AS "count!" FROM control.nodes
               WHERE removed_at IS NULL GROUP BY standing"#
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                column("nodes.standing", &row.standing)?,
                number("count", row.count)?,
            ))
        })
        .collect()
}
