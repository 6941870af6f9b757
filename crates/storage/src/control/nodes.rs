//! Nodes: enrolment, their words about themselves, the operator's words about them.

use std::collections::BTreeMap;

use model::node::{Hello, Node, NodeAddress, NodeState};
use model::{NodeId, Region, UnixMillis};
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
}

struct NodeRow {
    id: String,
    name: String,
    region: String,
    state: String,
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
            state: column("nodes.state", &row.state)?,
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
            r#"SELECT n.id, n.name, n.region, n.state, n.public_host, n.udp_port, n.publish_port,
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
             (id, name, region, sessions_limit, join_token_sha256, join_token_expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        node.id.as_str(),
        node.name,
        node.region.as_str(),
        node.sessions_limit.map(stored_count),
        &node.join_token_sha256,
        node.join_token_expires_at.0,
        now.0
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

/// The node whose credential has this hash.
///
/// # Errors
/// When the database fails.
pub async fn by_credential(
    pool: &Pool,
    credential_sha256: &[u8; 32],
) -> Result<Option<NodeId>, Error> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM control.nodes WHERE credential_sha256 = $1",
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
    let rows = select_nodes!("ORDER BY n.name").fetch_all(executor).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One node.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, id: &NodeId) -> Result<Option<Node>, Error> {
    let row = select_nodes!("WHERE n.id = $1", id.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// One node, locked until the transaction ends: nobody else places a session on it
/// meanwhile. The load is what is committed once the lock is held.
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &mut Transaction, id: &NodeId) -> Result<Option<Node>, Error> {
    sqlx::query!(
        "SELECT id FROM control.nodes WHERE id = $1 FOR NO KEY UPDATE",
        id.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    find(&mut **transaction, id).await
}

/// Takes what a node says of itself as it connects, which uses its join token up. The
/// region stays the operator's.
///
/// # Errors
/// When the database fails.
pub async fn connected(pool: &Pool, hello: &Hello, now: UnixMillis) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.nodes
         SET public_host = $2, udp_port = $3, publish_port = $4, play_port = $5, version = $6,
             sessions_reported = $7, heartbeat_at = $8,
             join_token_sha256 = NULL, join_token_expires_at = NULL,
             state = CASE WHEN draining THEN 'draining' ELSE 'active' END
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
    .execute(pool)
    .await?;
    Ok(())
}

/// Takes the operator's word on draining. `None`: no such node.
///
/// # Errors
/// When the database fails.
pub async fn set_draining(
    transaction: &mut Transaction,
    id: &NodeId,
    draining: bool,
) -> Result<Option<Node>, Error> {
    sqlx::query!(
        "UPDATE control.nodes SET draining = $2,
             state = CASE WHEN state NOT IN ('active', 'draining') THEN state
                          WHEN $2 THEN 'draining' ELSE 'active' END
         WHERE id = $1",
        id.as_str(),
        draining
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify(transaction, id).await?;
    find(&mut **transaction, id).await
}

/// What the operator wants of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// Take no new sessions.
    pub draining: bool,
    /// Hold no more than this; none: as many as it can.
    pub sessions_limit: Option<u32>,
}

/// Stands for everything that a node should be told: its orders, its sessions and their
/// streams as they are set. Another value means that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub i64);

macro_rules! select_orders {
    ($tail:tt, $argument:expr) => {
        sqlx::query!(
            r#"SELECT n.id, n.draining, n.sessions_limit,
                hashtextextended(concat_ws(' ', n.draining, n.sessions_limit), 0) # coalesce((
                    SELECT bit_xor(hashtextextended(s.id || t::text, 0))
                    FROM control.sessions s JOIN control.streams t ON t.id = s.stream_id
                    WHERE s.node_id = n.id AND s.state <> 'stopped'), 0) AS "fingerprint!"
            FROM control.nodes n "#
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
    let row = select_orders!("WHERE n.id = $1", id.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|row| {
        let limit = row
            .sessions_limit
            .map(|limit| number("nodes.sessions_limit", limit));
        let orders = Orders {
            draining: row.draining,
            sessions_limit: limit.transpose()?,
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
    let rows = select_orders!("WHERE n.id = ANY($1)", &ids as &[&str])
        .fetch_all(pool)
        .await?;
    rows.into_iter()
        .map(|row| Ok((column("nodes.id", &row.id)?, Fingerprint(row.fingerprint))))
        .collect()
}

/// Marks nodes offline that were last heard before `silent_since`; says which.
///
/// # Errors
/// When the database fails.
pub async fn sweep(pool: &Pool, silent_since: UnixMillis) -> Result<Vec<NodeId>, Error> {
    let ids = sqlx::query_scalar!(
        "UPDATE control.nodes SET state = 'offline'
         WHERE state IN ('active', 'draining') AND heartbeat_at < $1 RETURNING id",
        silent_since.0
    )
    .fetch_all(pool)
    .await?;
    ids.iter().map(|id| column("nodes.id", id)).collect()
}

/// How many nodes are in each state; a state without any is left out.
///
/// # Errors
/// When the database fails.
pub async fn count_by_state(pool: &Pool) -> Result<Vec<(NodeState, u32)>, Error> {
    let rows =
        sqlx::query!(r#"SELECT state, count(*) AS "count!" FROM control.nodes GROUP BY state"#)
            .fetch_all(pool)
            .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                column("nodes.state", &row.state)?,
                number("count", row.count)?,
            ))
        })
        .collect()
}
