//! What runs on nodes whose byte budgets run out, and what of it leaves already.

use std::time::Duration;

use model::{NodeId, Region, SessionId, StreamSettings, UnixMillis};

use super::budgets::Held;
use super::{column, number, stored, streams};
use crate::{Error, Transaction};

/// Takes the turn to plan moves until the transaction ends; false when somebody has it. Who
/// plans counts what moves already, so only one may plan and begin at a time.
///
/// # Errors
/// When the database fails.
pub async fn take_turn(transaction: &mut Transaction) -> Result<bool, Error> {
    let taken = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtext('control.relief')) AS "it!""#
    );
    Ok(taken.fetch_one(&mut **transaction).await?)
}

/// A session that could be elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movable {
    /// The session.
    pub session_id: SessionId,
    /// Where it is.
    pub node_id: NodeId,
    /// What is held for it there.
    pub held: Held,
    /// What its stream's owner set.
    pub settings: StreamSettings,
    /// The region that was asked for.
    pub region_requested: Option<Region>,
    /// When it began.
    pub started_at: UnixMillis,
    /// Whether its stream came from another.
    pub was_moved: bool,
    /// When a move of it began last that was undone.
    pub tried_at: Option<UnixMillis>,
}

/// What is held on each node for sessions whose streams move from it.
///
/// # Errors
/// When the database fails.
pub async fn leaving(
    transaction: &mut Transaction,
    tail: Duration,
) -> Result<Vec<(NodeId, Held)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT node_id,
               sum(greatest(hold_bytes - settled_bytes, hold_counted_bps / 8 * $1))::bigint AS "bytes!",
               sum(hold_counted_bps)::bigint AS "counted_bps!",
               sum(hold_port_bps)::bigint AS "port_bps!"
           FROM control.sessions WHERE state = 'draining' GROUP BY node_id"#,
        stored(tail.as_secs())
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            let held = Held {
                bytes: number("held bytes", row.bytes)?,
                counted_bps: number("held counted_bps", row.counted_bps)?,
                port_bps: number("held port_bps", row.port_bps)?,
            };
            Ok((column("sessions.node_id", &row.node_id)?, held))
        })
        .collect()
}

/// The sessions on these nodes that do not move at present.
///
/// # Errors
/// When the database fails.
pub async fn movable(
    transaction: &mut Transaction,
    nodes: &[NodeId],
    tail: Duration,
) -> Result<Vec<Movable>, Error> {
    let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
    let rows = sqlx::query!(
        r#"SELECT s.id, s.node_id, s.region_requested, s.started_at, t.settings,
               greatest(s.hold_bytes - s.settled_bytes, s.hold_counted_bps / 8 * $2) AS "bytes!",
               s.hold_counted_bps AS counted_bps, s.hold_port_bps AS port_bps,
               s.supersedes IS NOT NULL AS "was_moved!",
               (SELECT max(e.at) FROM control.session_events e
                WHERE e.session_id = s.id AND e.state = 'draining') AS tried_at
           FROM control.sessions s JOIN control.streams t ON t.id = s.stream_id
           LEFT JOIN control.sessions o ON o.id = s.supersedes
           WHERE s.node_id = ANY($1) AND s.state NOT IN ('draining', 'stopped')
             AND o.state IS DISTINCT FROM 'draining'
           ORDER BY s.id"#,
        &nodes as &[&str],
        stored(tail.as_secs())
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            let region = row.region_requested.as_deref();
            Ok(Movable {
                session_id: column("sessions.id", &row.id)?,
                node_id: column("sessions.node_id", &row.node_id)?,
                held: Held {
                    bytes: number("sessions.hold_bytes", row.bytes)?,
                    counted_bps: number("sessions.hold_counted_bps", row.counted_bps)?,
                    port_bps: number("sessions.hold_port_bps", row.port_bps)?,
                },
                settings: streams::settings(row.settings)?,
                region_requested: region
                    .map(|region| column("sessions.region_requested", region))
                    .transpose()?,
                started_at: UnixMillis(row.started_at),
                was_moved: row.was_moved,
                tried_at: row.tried_at.map(UnixMillis),
            })
        })
        .collect()
}
