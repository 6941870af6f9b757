//! Connections that are to be ready at all times, and what they are doing.

use model::node::{NodeAddress, NodeState};
use model::session::SessionState;
use model::{Region, SessionId, UnixMillis, UserId};

use super::accounts::Account;
use super::{column, nodes};
use crate::{Error, Pool, Transaction};

/// A connection that its user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Who wants it.
    pub account: Account,
    /// The user's name for it; the `connection_id` of its sessions.
    pub name: String,
    /// Where, if anywhere in particular.
    pub region: Option<Region>,
}

/// A connection as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The user's name for it.
    pub name: String,
    /// Its live session; none while no node can take it.
    pub session: Option<ConnectionSession>,
}

/// The live session of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSession {
    /// The session.
    pub id: SessionId,
    /// What it is doing.
    pub state: SessionState,
    /// Whether its sender is connected.
    pub publishing: bool,
    /// Whether it is not where the user wanted it.
    pub region_fallback: bool,
    /// Where it is.
    pub region: Region,
    /// The operator's name of its node.
    pub node_name: String,
    /// What its node is doing.
    pub node_state: NodeState,
    /// Where its node is reached.
    pub address: Option<NodeAddress>,
    /// The name of its stream that the DNS has.
    pub dns_name: Option<String>,
    /// Where its sender is to come from.
    pub moving_from: Option<Origin>,
}

/// The session that a stream leaves, as long as its sender is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The session.
    pub session_id: SessionId,
    /// The operator's name of its node.
    pub node_name: String,
}

struct WantedRow {
    user_id: String,
    tenant_id: String,
    name: String,
    region: Option<String>,
}

impl TryFrom<WantedRow> for Wanted {
    type Error = Error;

    fn try_from(row: WantedRow) -> Result<Self, Error> {
        let region = row.region.as_deref();
        Ok(Self {
            account: Account {
                user_id: column("connections.user_id", &row.user_id)?,
                tenant_id: column("connections.tenant_id", &row.tenant_id)?,
            },
            region: region
                .map(|region| column("connections.region", region))
                .transpose()?,
            name: row.name,
        })
    }
}

/// Wants a connection; says whether the user has at most `connections_max` with it.
/// Wanting it again changes where.
///
/// # Errors
/// When the database fails.
pub async fn want(
    pool: &Pool,
    wanted: &Wanted,
    connections_max: u32,
    now: UnixMillis,
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    super::sessions::lock_user(&mut transaction, &wanted.account.user_id).await?;
    sqlx::query!(
        "INSERT INTO control.connections (user_id, name, tenant_id, region, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id, name) DO UPDATE SET region = excluded.region",
        wanted.account.user_id.as_str(),
        wanted.name,
        wanted.account.tenant_id.as_str(),
        wanted.region.as_ref().map(Region::as_str),
        now.0
    )
    .execute(&mut *transaction)
    .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM control.connections WHERE user_id = $1"#,
        wanted.account.user_id.as_str()
    )
    .fetch_one(&mut *transaction)
    .await?;
    if count > i64::from(connections_max) {
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}

/// Wants a connection no longer; says whether it was wanted.
///
/// # Errors
/// When the database fails.
pub async fn forget(
    transaction: &mut Transaction,
    user: &UserId,
    name: &str,
) -> Result<bool, Error> {
    let forgotten = sqlx::query!(
        "DELETE FROM control.connections WHERE user_id = $1 AND name = $2",
        user.as_str(),
        name
    )
    .execute(&mut **transaction)
    .await?;
    Ok(forgotten.rows_affected() > 0)
}

/// Connections that are wanted and have no live session, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn unprovisioned(pool: &Pool, limit: u32) -> Result<Vec<Wanted>, Error> {
    let rows = sqlx::query_as!(
        WantedRow,
        "SELECT c.user_id, c.tenant_id, c.name, c.region FROM control.connections c
         JOIN control.users u ON u.id = c.user_id
         WHERE u.disabled_at IS NULL AND NOT EXISTS (
             SELECT FROM control.sessions s
             WHERE s.user_id = c.user_id AND s.connection_id = c.name
               AND s.state NOT IN ('draining', 'stopped'))
         ORDER BY random() LIMIT $1",
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

struct ConnectionRow {
    name: String,
    session_id: Option<String>,
    state: Option<String>,
    publishing: Option<bool>,
    region: Option<String>,
    region_requested: Option<String>,
    node_name: Option<String>,
    node_state: Option<String>,
    public_host: Option<String>,
    udp_port: Option<i32>,
    publish_port: Option<i32>,
    play_port: Option<i32>,
    dns_name: Option<String>,
    origin_id: Option<String>,
    origin_node_name: Option<String>,
}

impl TryFrom<ConnectionRow> for Connection {
    type Error = Error;

    fn try_from(row: ConnectionRow) -> Result<Self, Error> {
        Ok(Self {
            name: row.name.clone(),
            session: session(row)?,
        })
    }
}

/// The session in its columns: all or none is there.
fn session(row: ConnectionRow) -> Result<Option<ConnectionSession>, Error> {
    let (Some(id), Some(state), Some(region)) = (row.session_id, row.state, row.region) else {
        return Ok(None);
    };
    let (Some(node_name), Some(node_state)) = (row.node_name, row.node_state) else {
        return Ok(None);
    };
    Ok(Some(ConnectionSession {
        id: column("sessions.id", &id)?,
        state: column("sessions.state", &state)?,
        publishing: row.publishing.unwrap_or_default(),
        region_fallback: row
            .region_requested
            .is_some_and(|requested| requested != region),
        region: column("sessions.region", &region)?,
        node_name,
        node_state: column("nodes.standing", &node_state)?,
        address: nodes::address(
            row.public_host,
            [row.udp_port, row.publish_port, row.play_port],
        )?,
        dns_name: row.dns_name,
        moving_from: origin(row.origin_id.as_deref(), row.origin_node_name)?,
    }))
}

fn origin(id: Option<&str>, node_name: Option<String>) -> Result<Option<Origin>, Error> {
    let (Some(id), Some(node_name)) = (id, node_name) else {
        return Ok(None);
    };
    Ok(Some(Origin {
        session_id: column("sessions.id", id)?,
        node_name,
    }))
}

/// A user's connections: those that are wanted, and those that have a live session
/// because some other client asked for it. The oldest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, user: &UserId, limit: u32) -> Result<Vec<Connection>, Error> {
    let rows = sqlx::query_as!(
        ConnectionRow,
        r#"SELECT coalesce(c.name, s.connection_id) AS "name!", s.id AS "session_id?",
               s.state AS "state?", s.publishing AS "publishing?", s.region AS "region?",
               s.region_requested AS "region_requested?", n.name AS "node_name?",
               n.standing AS "node_state?", n.public_host AS "public_host?", n.udp_port AS "udp_port?",
               n.publish_port AS "publish_port?", n.play_port AS "play_port?",
               d.name AS "dns_name?", o.id AS "origin_id?", onode.name AS "origin_node_name?"
           FROM (SELECT * FROM control.connections WHERE user_id = $1) c
           FULL JOIN (SELECT * FROM control.sessions WHERE user_id = $1
                      AND state NOT IN ('draining', 'stopped') AND connection_id IS NOT NULL) s ON s.connection_id = c.name
           LEFT JOIN control.nodes n ON n.id = s.node_id
           LEFT JOIN control.dns_records d ON d.stream_id = s.stream_id
           LEFT JOIN control.sessions o ON o.id = s.supersedes AND o.state = 'draining'
           LEFT JOIN control.nodes onode ON onode.id = o.node_id
           ORDER BY coalesce(c.created_at, s.started_at), 1 LIMIT $2"#,
        user.as_str(),
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
