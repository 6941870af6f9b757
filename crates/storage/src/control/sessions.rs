//! Sessions: the table says what each node should hold.

use std::time::Duration;

use model::node::NodeAddress;
use model::session::{Session, SessionState};
use model::{NodeId, Region, SessionId, StreamId, StreamSettings, UnixMillis, UserId};
use serde_json::Value;
use sqlx::PgExecutor;

use super::accounts::Account;
use super::endings::{self, Ending};
use super::{column, nodes, number, streams, wake};
use crate::{Error, Pool, Transaction};

/// A session with what its address, keys and leases are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The session.
    pub session: Session,
    /// The region the caller asked for.
    pub region_requested: Option<Region>,
    /// The longest it may live.
    pub ends_at: UnixMillis,
    /// The generation of its stream's keys.
    pub generation: u32,
    /// What its stream's owner set.
    pub settings: StreamSettings,
    /// Where its node is reached.
    pub address: Option<NodeAddress>,
    /// The node that has its stream until the publisher is here.
    pub pulls_from: Option<NodeAddress>,
    /// The name of its stream that the DNS has.
    pub dns_name: Option<String>,
}

impl Record {
    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            user_id: self.session.user_id.clone(),
            tenant_id: self.session.tenant_id.clone(),
        }
    }
}

/// A session to begin.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its identifier.
    pub id: SessionId,
    /// Whose.
    pub account: Account,
    /// The stream slot.
    pub stream_id: StreamId,
    /// The client's name of the connection.
    pub connection_id: Option<String>,
    /// The chosen node.
    pub node_id: NodeId,
    /// That node's region.
    pub region: Region,
    /// The region the caller asked for.
    pub region_requested: Option<Region>,
    /// When it lapses unless renewed.
    pub lease_expires_at: UnixMillis,
    /// The longest it may live.
    pub ends_at: UnixMillis,
    /// The session whose stream it takes over.
    pub supersedes: Option<SessionId>,
}

struct RecordRow {
    id: String,
    tenant_id: String,
    user_id: String,
    stream_id: String,
    connection_id: Option<String>,
    node_id: String,
    region: String,
    region_requested: Option<String>,
    state: String,
    publishing: bool,
    started_at: i64,
    lease_expires_at: i64,
    ends_at: i64,
    stopped_at: Option<i64>,
    stop_reason: Option<String>,
    generation: i32,
    settings: Value,
    public_host: Option<String>,
    udp_port: Option<i32>,
    publish_port: Option<i32>,
    play_port: Option<i32>,
    supersedes: Option<String>,
    from_host: Option<String>,
    from_udp_port: Option<i32>,
    from_publish_port: Option<i32>,
    from_play_port: Option<i32>,
    dns_name: Option<String>,
}

impl TryFrom<RecordRow> for Record {
    type Error = Error;

    fn try_from(row: RecordRow) -> Result<Self, Error> {
        let requested = row.region_requested.as_deref();
        Ok(Self {
            region_requested: requested
                .map(|region| column("sessions.region_requested", region))
                .transpose()?,
            ends_at: UnixMillis(row.ends_at),
            generation: number("streams.generation", row.generation)?,
            settings: streams::settings(row.settings.clone())?,
            address: nodes::address(
                row.public_host.clone(),
                [row.udp_port, row.publish_port, row.play_port],
            )?,
            pulls_from: nodes::address(
                row.from_host.clone(),
                [row.from_udp_port, row.from_publish_port, row.from_play_port],
            )?,
            dns_name: row.dns_name.clone(),
            session: session(row)?,
        })
    }
}

fn session(row: RecordRow) -> Result<Session, Error> {
    let supersedes = row.supersedes.as_deref();
    Ok(Session {
        id: column("sessions.id", &row.id)?,
        tenant_id: column("sessions.tenant_id", &row.tenant_id)?,
        user_id: column("sessions.user_id", &row.user_id)?,
        stream_id: column("sessions.stream_id", &row.stream_id)?,
        connection_id: row.connection_id,
        node_id: column("sessions.node_id", &row.node_id)?,
        region: column("sessions.region", &row.region)?,
        state: column("sessions.state", &row.state)?,
        publishing: row.publishing,
        started_at: UnixMillis(row.started_at),
        lease_expires_at: UnixMillis(row.lease_expires_at),
        stopped_at: row.stopped_at.map(UnixMillis),
        stop_reason: row.stop_reason,
        supersedes: supersedes
            .map(|id| column("sessions.supersedes", id))
            .transpose()?,
    })
}

macro_rules! select_records {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            RecordRow,
            r#"SELECT s.id, s.tenant_id, s.user_id, s.stream_id, s.connection_id, s.node_id, s.region,
                s.region_requested, s.state, s.publishing, s.started_at, s.lease_expires_at,
                s.ends_at, s.stopped_at, s.stop_reason, st.generation, st.settings, n.public_host,
                n.udp_port, n.publish_port, n.play_port, s.supersedes,
                pn.public_host AS from_host, pn.udp_port AS from_udp_port,
                pn.publish_port AS from_publish_port, pn.play_port AS from_play_port,
                d.name AS "dns_name?"
            FROM control.sessions s
            JOIN control.streams st ON st.id = s.stream_id
            JOIN control.nodes n ON n.id = s.node_id
            LEFT JOIN control.sessions p ON p.id = s.supersedes AND p.state = 'draining'
            LEFT JOIN control.nodes pn ON pn.id = p.node_id
            LEFT JOIN control.dns_records d ON d.stream_id = s.stream_id "# + $tail
            $(, $argument)*
        )
    };
}

/// Lets one user's starts happen one after the other until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock_user(transaction: &mut Transaction, user: &UserId) -> Result<(), Error> {
    sqlx::query!(
        "SELECT id FROM control.users WHERE id = $1 FOR NO KEY UPDATE",
        user.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(())
}

/// Begins a session and wakes its node.
///
/// # Errors
/// [`Error::Conflict`] when the connection or the stream has a live session.
pub async fn insert(
    transaction: &mut Transaction,
    session: &NewSession,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.sessions
             (id, tenant_id, user_id, stream_id, connection_id, node_id, region, region_requested,
              state, started_at, lease_expires_at, ends_at, supersedes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'provisioning', $9, $10, $11, $12)",
        session.id.as_str(),
        session.account.tenant_id.as_str(),
        session.account.user_id.as_str(),
        session.stream_id.as_str(),
        session.connection_id,
        session.node_id.as_str(),
        session.region.as_str(),
        session.region_requested.as_ref().map(Region::as_str),
        now.0,
        session.lease_expires_at.0,
        session.ends_at.0,
        session.supersedes.as_ref().map(SessionId::as_str)
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify(transaction, &session.node_id).await
}

/// One session.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, id: &SessionId) -> Result<Option<Record>, Error> {
    let row = select_records!("WHERE s.id = $1", id.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Those of `sessions` that are or were on a node.
///
/// # Errors
/// When the database fails.
pub async fn given_to(
    pool: &Pool,
    node: &NodeId,
    sessions: &[SessionId],
) -> Result<Vec<SessionId>, Error> {
    let sessions: Vec<String> = sessions.iter().map(ToString::to_string).collect();
    let ids = sqlx::query_scalar!(
        "SELECT id FROM control.sessions WHERE node_id = $1 AND id = ANY($2)",
        node.as_str(),
        &sessions
    )
    .fetch_all(pool)
    .await?;
    ids.iter().map(|id| column("sessions.id", id)).collect()
}

/// The live session of a user's connection; of two between which its stream moves, the
/// new one.
///
/// # Errors
/// When the database fails.
pub async fn live_of_connection(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    connection: Option<&str>,
) -> Result<Option<Record>, Error> {
    let row = select_records!(
        "WHERE s.user_id = $1 AND coalesce(s.connection_id, '') = $2
           AND s.state NOT IN ('draining', 'stopped')",
        user.as_str(),
        connection.unwrap_or_default()
    )
    .fetch_optional(executor)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// The live session of a user's connection, or else the one that it had last.
///
/// # Errors
/// When the database fails.
pub async fn last_of_connection(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    connection: Option<&str>,
) -> Result<Option<Record>, Error> {
    let row = select_records!(
        "WHERE s.user_id = $1 AND coalesce(s.connection_id, '') = $2
         ORDER BY s.state IN ('draining', 'stopped'), s.started_at DESC, s.id DESC LIMIT 1",
        user.as_str(),
        connection.unwrap_or_default()
    )
    .fetch_optional(executor)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// A user's live sessions, the newest first, at most `limit`; not those whose streams
/// move to another that is among them.
///
/// # Errors
/// When the database fails.
pub async fn live_of_user(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    limit: u32,
) -> Result<Vec<Record>, Error> {
    let rows = select_records!(
        "WHERE s.user_id = $1 AND s.state NOT IN ('draining', 'stopped')
         ORDER BY s.started_at DESC, s.id DESC LIMIT $2",
        user.as_str(),
        i64::from(limit)
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// What a node should hold.
///
/// # Errors
/// When the database fails.
pub async fn live_of_node(pool: &Pool, node: &NodeId) -> Result<Vec<Record>, Error> {
    let rows = select_records!(
        "WHERE s.node_id = $1 AND s.state <> 'stopped' ORDER BY s.id",
        node.as_str()
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Stops one session unless it is, and wakes its node; says whether it was live. What its
/// stream moves from or to is left alone: [`super::chains::stop`] ends all of it.
///
/// # Errors
/// When the database fails.
pub async fn stop(
    transaction: &mut Transaction,
    id: &SessionId,
    reason: &str,
    now: UnixMillis,
) -> Result<bool, Error> {
    let ending = sqlx::query_as!(
        Ending,
        r#"SELECT id, node_id, $2::text AS "reason!" FROM control.sessions
           WHERE id = $1 AND state <> 'stopped' FOR NO KEY UPDATE"#,
        id.as_str(),
        reason
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let ended = endings::end(transaction, ending.as_slice(), now).await?;
    Ok(!ended.is_empty())
}

/// When sessions end by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a session waits for a publisher that was there, unless its connection is to
    /// be ready at all times.
    pub grace: Duration,
    /// How long it waits for a node that is not heard.
    pub silence: Duration,
}

/// Stops at most `limit` sessions whose time is over and wakes their nodes.
///
/// # Errors
/// When the database fails; then none was stopped.
pub async fn expire(
    pool: &Pool,
    now: UnixMillis,
    patience: Patience,
    limit: u32,
) -> Result<Vec<SessionId>, Error> {
    let mut transaction = pool.begin().await?;
    let endings = sqlx::query_as!(
        Ending,
        r#"SELECT e.id, e.node_id, CASE WHEN e.ends_at <= $1 THEN 'max_duration'
               WHEN n.heartbeat_at <= $4 THEN 'node_lost'
               WHEN e.state = 'grace' AND e.last_published_at <= $3 THEN 'grace_over'
               ELSE 'lease_expired' END AS "reason!"
           FROM control.sessions e JOIN control.nodes n ON n.id = e.node_id
           WHERE e.state <> 'stopped' AND (
               e.lease_expires_at <= $1
               OR n.heartbeat_at <= $4
               OR (e.state = 'grace' AND e.last_published_at <= $3 AND NOT EXISTS (
                   SELECT FROM control.connections c
                   WHERE c.user_id = e.user_id AND c.name = e.connection_id)))
           ORDER BY e.lease_expires_at LIMIT $2 FOR UPDATE OF e SKIP LOCKED"#,
        now.0,
        i64::from(limit),
        now.minus(patience.grace).0,
        now.minus(patience.silence).0
    )
    .fetch_all(&mut *transaction)
    .await?;
    let ids = endings::end(&mut transaction, &endings, now).await?;
    transaction.commit().await?;
    Ok(ids)
}

/// How many live sessions are in each state; a state without any is left out.
///
/// # Errors
/// When the database fails.
pub async fn count_by_state(pool: &Pool) -> Result<Vec<(SessionState, u32)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT state, count(*) AS "count!" FROM control.sessions
           WHERE state <> 'stopped' GROUP BY state"#
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                column("sessions.state", &row.state)?,
                number("count", row.count)?,
            ))
        })
        .collect()
}
