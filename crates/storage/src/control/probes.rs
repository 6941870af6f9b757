//! What callers from outside found of nodes.

use model::{NodeId, UnixMillis};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{column, number, stored};
use crate::{Error, Pool, Transaction};

/// A node to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub node_id: NodeId,
    /// Where it says that it is reached.
    pub host: String,
    /// The UDP port that everybody calls.
    pub port: u16,
}

/// What is known of calls to a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The last ones: a document of the domain.
    pub reach: Value,
    /// Whether it counts as reachable.
    pub is_reachable: bool,
    /// When it was last called.
    pub at: UnixMillis,
    /// When it last answered.
    pub answered_at: Option<UnixMillis>,
    /// How long that took, microseconds.
    pub rtt_us: Option<u64>,
    /// Why the last call was not answered; none: it was.
    pub failure: Option<String>,
}

/// At most `limit` nodes that are heard and say where they are, in the order of their ids
/// after `after`.
///
/// # Errors
/// When the database fails.
pub async fn targets(
    pool: &Pool,
    after: Option<&NodeId>,
    limit: u32,
) -> Result<Vec<Target>, Error> {
    let rows = sqlx::query!(
        r#"SELECT id, public_host AS "host!", udp_port AS "port!" FROM control.nodes
           WHERE removed_at IS NULL AND health IN ('probation', 'active', 'degraded')
             AND public_host IS NOT NULL AND udp_port IS NOT NULL
             AND ($1::text IS NULL OR id > $1)
           ORDER BY id LIMIT $2"#,
        after.map(NodeId::as_str),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Target {
                node_id: column("nodes.id", &row.id)?,
                host: row.host,
                port: number("nodes.udp_port", row.port)?,
            })
        })
        .collect()
}

/// What is known of calls to a node; none: nobody called.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, node: &NodeId) -> Result<Option<Probed>, Error> {
    let row = sqlx::query!(
        "SELECT reach, is_reachable, probed_at, answered_at, rtt_us, failure
         FROM control.node_probes WHERE node_id = $1",
        node.as_str()
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        let rtt_us = row
            .rtt_us
            .map(|rtt_us| number("node_probes.rtt_us", rtt_us));
        Ok(Probed {
            reach: row.reach,
            is_reachable: row.is_reachable,
            at: UnixMillis(row.probed_at),
            answered_at: row.answered_at.map(UnixMillis),
            rtt_us: rtt_us.transpose()?,
            failure: row.failure,
        })
    })
    .transpose()
}

/// Keeps what is known of calls to a node.
///
/// # Errors
/// When the database fails.
pub async fn write(
    transaction: &mut Transaction,
    node: &NodeId,
    probed: &Probed,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.node_probes
             (node_id, reach, is_reachable, probed_at, answered_at, rtt_us, failure)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (node_id) DO UPDATE SET reach = $2, is_reachable = $3, probed_at = $4,
             answered_at = $5, rtt_us = $6, failure = $7",
        node.as_str(),
        probed.reach,
        probed.is_reachable,
        probed.at.0,
        probed.answered_at.map(|at| at.0),
        probed.rtt_us.map(stored),
        probed.failure
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
