//! Sessions as an operator sees them: everybody's, live and past.

use model::session::SessionState;
use model::{NodeId, Region, SessionId, StreamId, TenantId, UnixMillis, UserId};
use sqlx::PgExecutor;

use super::{column, number};
use crate::Error;

/// A session with whose and where it is, and what it carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The session.
    pub id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who started it.
    pub user_id: UserId,
    /// What they are called.
    pub user_name: String,
    /// The client's name of the connection.
    pub connection_id: Option<String>,
    /// Its stream slot.
    pub stream_id: StreamId,
    /// Where it is.
    pub node_id: NodeId,
    /// The operator's name for that node.
    pub node_name: String,
    /// The region of that node.
    pub region: Region,
    /// What it is doing.
    pub state: SessionState,
    /// Since when, as it was noticed; none: not yet.
    pub since: Option<UnixMillis>,
    /// Whether its publisher is connected.
    pub publishing: bool,
    /// When it was started.
    pub started_at: UnixMillis,
    /// When it lapses unless its node's heartbeat renews it.
    pub lease_expires_at: UnixMillis,
    /// The longest it may live.
    pub ends_at: UnixMillis,
    /// When it ends at the latest, because its stream moves.
    pub drain_ends_at: Option<UnixMillis>,
    /// When it ended.
    pub stopped_at: Option<UnixMillis>,
    /// Why.
    pub stop_reason: Option<String>,
    /// How long it was published.
    pub published_ms: u64,
    /// Media bytes from its publishers.
    pub ingress_bytes: u64,
    /// Media bytes to its players.
    pub egress_bytes: u64,
    /// The session that it took over from.
    pub supersedes: Option<SessionId>,
    /// The one that took over from it.
    pub superseded_by: Option<SessionId>,
}

/// Which sessions; what is absent matches all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// One.
    pub id: Option<&'a SessionId>,
    /// Those on a node.
    pub node: Option<&'a NodeId>,
    /// Those of a user.
    pub user: Option<&'a UserId>,
    /// Those in a state.
    pub state: Option<SessionState>,
    /// Those that have not ended.
    pub live: bool,
    /// Those that were started before this one.
    pub before: Option<&'a SessionId>,
}

struct Row {
    id: String,
    tenant_id: String,
    user_id: String,
    user_name: String,
    connection_id: Option<String>,
    stream_id: String,
    node_id: String,
    node_name: String,
    region: String,
    state: String,
    since: Option<i64>,
    publishing: bool,
    started_at: i64,
    lease_expires_at: i64,
    ends_at: i64,
    drain_ends_at: Option<i64>,
    stopped_at: Option<i64>,
    stop_reason: Option<String>,
    published_ms: i64,
    ingress_bytes: i64,
    egress_bytes: i64,
    supersedes: Option<String>,
    superseded_by: Option<String>,
}

impl TryFrom<Row> for Listed {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let other =
            |id: Option<String>| id.map(|id| column("sessions.supersedes", &id)).transpose();
        Ok(Self {
            id: column("sessions.id", &row.id)?,
            tenant_id: column("sessions.tenant_id", &row.tenant_id)?,
            user_id: column("sessions.user_id", &row.user_id)?,
            user_name: row.user_name,
            connection_id: row.connection_id,
            stream_id: column("sessions.stream_id", &row.stream_id)?,
            node_id: column("sessions.node_id", &row.node_id)?,
            node_name: row.node_name,
            region: column("sessions.region", &row.region)?,
            state: column("sessions.state", &row.state)?,
            since: row.since.map(UnixMillis),
            publishing: row.publishing,
            started_at: UnixMillis(row.started_at),
            lease_expires_at: UnixMillis(row.lease_expires_at),
            ends_at: UnixMillis(row.ends_at),
            drain_ends_at: row.drain_ends_at.map(UnixMillis),
            stopped_at: row.stopped_at.map(UnixMillis),
            stop_reason: row.stop_reason,
            published_ms: number("sessions.published_ms", row.published_ms)?,
            ingress_bytes: number("sessions.ingress_bytes", row.ingress_bytes)?,
            egress_bytes: number("sessions.egress_bytes", row.egress_bytes)?,
            supersedes: other(row.supersedes)?,
            superseded_by: other(row.superseded_by)?,
        })
    }
}

/// The sessions that match, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: Filter<'_>,
    limit: u32,
) -> Result<Vec<Listed>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT s.id, s.tenant_id, s.user_id, u.name AS user_name, s.connection_id, s.stream_id,
               s.node_id, n.name AS node_name, s.region, s.state, s.publishing, s.started_at,
               s.lease_expires_at, s.ends_at, s.drain_ends_at, s.stopped_at, s.stop_reason,
               s.published_ms, s.ingress_bytes, s.egress_bytes, s.supersedes,
               (SELECT e.at FROM control.session_events e WHERE e.session_id = s.id
                ORDER BY e.id DESC LIMIT 1) AS since,
               (SELECT b.id FROM control.sessions b WHERE b.supersedes = s.id
                ORDER BY b.state = 'stopped', b.started_at DESC, b.id DESC LIMIT 1) AS superseded_by
           FROM control.sessions s
           JOIN control.users u ON u.id = s.user_id
           JOIN control.nodes n ON n.id = s.node_id
           WHERE ($1::text IS NULL OR s.id = $1)
             AND ($2::text IS NULL OR s.node_id = $2)
             AND ($3::text IS NULL OR s.user_id = $3)
             AND ($4::text IS NULL OR s.state = $4)
             AND (NOT $5 OR s.state <> 'stopped')
             AND ($6::text IS NULL OR (s.started_at, s.id) < (
                 SELECT b.started_at, b.id FROM control.sessions b WHERE b.id = $6))
           ORDER BY s.started_at DESC, s.id DESC LIMIT $7"#,
        filter.id.map(SessionId::as_str),
        filter.node.map(NodeId::as_str),
        filter.user.map(UserId::as_str),
        filter.state.map(SessionState::as_str),
        filter.live,
        filter.before.map(SessionId::as_str),
        i64::from(limit)
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
