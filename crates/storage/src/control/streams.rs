//! Stream slots.

use model::{StreamId, TenantId, UnixMillis, UserId};
use sqlx::PgExecutor;

use super::{column, number};
use crate::{Error, Transaction};

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
