//! Stream slots by the numbers and labels that their user knows them by.

use model::{StreamId, UnixMillis, UserId};

use super::streams::{Slot, Stream};
use super::{column, number, wake};
use crate::{Error, Transaction};

/// A slot with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedSlot {
    /// From 1, for good.
    pub number: u32,
    /// What its user calls it.
    pub label: Option<String>,
    /// The connection it belongs to; empty for the one without a name.
    pub name: String,
    /// What its keys are derived from.
    pub stream: Stream,
}

/// A user's slots by number, at most `limit`. Slots that have none yet get theirs: the
/// caller holds the user's lock (see [`super::sessions::lock_user`]).
///
/// # Errors
/// When the database fails.
pub async fn list(
    transaction: &mut Transaction,
    user: &UserId,
    limit: u32,
) -> Result<Vec<NumberedSlot>, Error> {
    sqlx::query!(
        "UPDATE control.streams s SET slot_number = fresh.number
         FROM (
             SELECT id, row_number() OVER (ORDER BY created_at, id) + coalesce(
                 (SELECT max(slot_number) FROM control.streams WHERE user_id = $1), 0) AS number
             FROM control.streams WHERE user_id = $1 AND slot_number IS NULL
         ) AS fresh
         WHERE s.id = fresh.id",
        user.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    let rows = sqlx::query!(
        r#"SELECT slot_number AS "slot_number!", label, name, id, generation
           FROM control.streams WHERE user_id = $1 AND slot_number IS NOT NULL
           ORDER BY slot_number LIMIT $2"#,
        user.as_str(),
        i64::from(limit)
    )
    .fetch_all(&mut **transaction)
    .await?;
    let slot = |number_of: i32, label, name, id: &str, generation: i32| {
        Ok(NumberedSlot {
            number: number("streams.slot_number", number_of)?,
            label,
            name,
            stream: Stream {
                id: column("streams.id", id)?,
                generation: number("streams.generation", generation)?,
            },
        })
    };
    rows.into_iter()
        .map(|row| {
            slot(
                row.slot_number,
                row.label,
                row.name,
                &row.id,
                row.generation,
            )
        })
        .collect()
}

/// Makes a slot of this name; says whether there was none. The caller holds the user's lock.
///
/// # Errors
/// When the database fails.
pub async fn create(
    transaction: &mut Transaction,
    slot: Slot<'_>,
    fresh: &StreamId,
    label: Option<&str>,
    now: UnixMillis,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO control.streams (id, tenant_id, user_id, name, label, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, name) DO NOTHING",
        fresh.as_str(),
        slot.tenant_id.as_str(),
        slot.user_id.as_str(),
        slot.name,
        label,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Calls a slot something; says whether there is one of that number.
///
/// # Errors
/// When the database fails.
pub async fn set_label(
    transaction: &mut Transaction,
    user: &UserId,
    number: u32,
    label: &str,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE control.streams SET label = $3 WHERE user_id = $1 AND slot_number = $2",
        user.as_str(),
        i32::try_from(number).unwrap_or(i32::MAX),
        label
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces the keys of a slot, and wakes the nodes of its live sessions: whoever
/// uses the old ones is cut off.
///
/// # Errors
/// When the database fails.
pub async fn rotate(transaction: &mut Transaction, stream: &StreamId) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.streams SET generation = generation + 1 WHERE id = $1",
        stream.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_stream(transaction, stream).await
}
