//! Stream slots.

use model::{NodeId, SessionId, StreamId, StreamSettings, TenantId, UnixMillis, UserId};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{column, number, wake};
use crate::{Error, Pool, Transaction};

/// A stream slot: its keys are derived from these two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The slot.
    pub id: StreamId,
    /// Grows when its keys are replaced.
    pub generation: u32,
}

/// Whose slot, and for which connection.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// The owner's tenant.
    pub tenant_id: &'a TenantId,
    /// The owner.
    pub user_id: &'a UserId,
    /// The connection's name; empty for the one without.
    pub name: &'a str,
}

struct StreamRow {
    id: String,
    generation: i32,
}

impl TryFrom<StreamRow> for Stream {
    type Error = Error;

    fn try_from(row: StreamRow) -> Result<Self, Error> {
        Ok(Self {
            id: column("streams.id", &row.id)?,
            generation: number("streams.generation", row.generation)?,
        })
    }
}

/// The slot's stream; made as `fresh` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn find_or_create(
    transaction: &mut Transaction,
    slot: Slot<'_>,
    fresh: &StreamId,
    now: UnixMillis,
) -> Result<Stream, Error> {
    sqlx::query!(
        "INSERT INTO control.streams (id, tenant_id, user_id, name, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, name) DO NOTHING",
        fresh.as_str(),
        slot.tenant_id.as_str(),
        slot.user_id.as_str(),
        slot.name,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query_as!(
        StreamRow,
        "SELECT id, generation FROM control.streams WHERE user_id = $1 AND name = $2",
        slot.user_id.as_str(),
        slot.name
    )
    .fetch_one(&mut **transaction)
    .await?
    .try_into()
}

/// A user's slots, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn of_user(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    limit: u32,
) -> Result<Vec<Stream>, Error> {
    let rows = sqlx::query_as!(
        StreamRow,
        "SELECT id, generation FROM control.streams WHERE user_id = $1
         ORDER BY created_at DESC, id LIMIT $2",
        user.as_str(),
        i64::from(limit)
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A stream slot as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The slot.
    pub id: StreamId,
    /// Whose it is.
    pub user_id: UserId,
    /// The connection's name; empty for the one without.
    pub name: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// What its owner set.
    pub settings: StreamSettings,
    /// Its live session, and the node that one is on.
    pub live: Option<(SessionId, NodeId)>,
}

struct DescriptionRow {
    id: String,
    user_id: String,
    name: String,
    created_at: i64,
    settings: Value,
    session_id: Option<String>,
    node_id: Option<String>,
}

impl TryFrom<DescriptionRow> for Description {
    type Error = Error;

    fn try_from(row: DescriptionRow) -> Result<Self, Error> {
        let live = match (row.session_id, row.node_id) {
            (Some(session), Some(node)) => Some((
                column("sessions.id", &session)?,
                column("sessions.node_id", &node)?,
            )),
            _ => None,
        };
        Ok(Self {
            id: column("streams.id", &row.id)?,
            user_id: column("streams.user_id", &row.user_id)?,
            name: row.name,
            created_at: UnixMillis(row.created_at),
            settings: settings(row.settings)?,
            live,
        })
    }
}

/// Reads the column; a setting that only a newer version knows is passed over.
pub(super) fn settings(value: Value) -> Result<StreamSettings, Error> {
    let text = value.to_string();
    serde_json::from_value(value).map_err(|_| Error::Row {
        column: "streams.settings",
        value: text,
    })
}

/// What the owner of a slot set.
///
/// # Errors
/// When the database fails, or there is no such slot.
pub async fn settings_of(
    executor: impl PgExecutor<'_>,
    id: &StreamId,
) -> Result<StreamSettings, Error> {
    let set = sqlx::query_scalar!(
        "SELECT settings FROM control.streams WHERE id = $1",
        id.as_str()
    )
    .fetch_one(executor)
    .await?;
    settings(set)
}

macro_rules! select_descriptions {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            DescriptionRow,
            r#"SELECT st.id, st.user_id, st.name, st.created_at, st.settings,
                s.id AS "session_id?", s.node_id AS "node_id?"
            FROM control.streams st
            LEFT JOIN control.sessions s ON s.stream_id = st.id
                AND s.state NOT IN ('draining', 'stopped') "# + $tail
            $(, $argument)*
        )
    };
}

/// A user's slots as their owner sees them, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn describe_of_user(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    limit: u32,
) -> Result<Vec<Description>, Error> {
    let rows = select_descriptions!(
        "WHERE st.user_id = $1 ORDER BY st.created_at DESC, st.id LIMIT $2",
        user.as_str(),
        i64::from(limit)
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One slot.
///
/// # Errors
/// When the database fails.
pub async fn describe(
    executor: impl PgExecutor<'_>,
    id: &StreamId,
) -> Result<Option<Description>, Error> {
    let row = select_descriptions!("WHERE st.id = $1", id.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// One slot, which nobody else changes until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(
    transaction: &mut Transaction,
    id: &StreamId,
) -> Result<Option<Description>, Error> {
    let row = select_descriptions!("WHERE st.id = $1 FOR NO KEY UPDATE OF st", id.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Writes a slot's settings, and wakes the nodes of its live sessions.
///
/// # Errors
/// When the database fails.
pub async fn set_settings(
    transaction: &mut Transaction,
    stream: &Description,
    settings: &StreamSettings,
) -> Result<(), Error> {
    let document = serde_json::to_value(settings).expect("plain fields always serialise");
    sqlx::query!(
        "UPDATE control.streams SET settings = jsonb_strip_nulls($2) WHERE id = $1",
        stream.id.as_str(),
        document
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_stream(transaction, &stream.id).await
}

/// The streams after `after` by id and the generation of their keys, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn generations(
    pool: &Pool,
    after: &str,
    limit: u32,
) -> Result<Vec<(StreamId, u32)>, Error> {
    let rows = sqlx::query!(
        "SELECT id, generation FROM control.streams WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((
                column("streams.id", &row.id)?,
                number("streams.generation", row.generation)?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_of_a_newer_version_is_passed_over() {
        let read = settings(json!({"hold_seconds": 30, "colour": "red"})).unwrap();
        assert_eq!(read.hold_seconds, Some(30));
        assert_eq!(settings(json!({})).unwrap(), StreamSettings::default());
    }

    #[test]
    fn a_document_that_cannot_be_read_is_an_error() {
        for document in [json!({"resume": "perhaps"}), json!({"players_max": -1})] {
            assert!(matches!(settings(document), Err(Error::Row { .. })));
        }
    }
}
