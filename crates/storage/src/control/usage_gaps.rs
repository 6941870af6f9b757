//! Times in which nobody heard of sessions that were published before and after: the node, this
//! process or the database was away. What was counted for them at their end is made good here.

use std::time::Duration;

use model::{SessionId, UnixMillis};

use super::{column, millis, number};
use crate::{Error, Pool, Transaction};

/// One such time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub session_id: SessionId,
    /// When the session was heard of last before.
    pub began_at: UnixMillis,
    /// When it was again.
    pub ended_at: UnixMillis,
    /// What of it counts as published so far.
    pub counted: Duration,
    /// What the node received for the session meanwhile.
    pub ingress_bytes: u64,
    /// What it had received before.
    pub ingress_bytes_before: u64,
    /// And in how much published time.
    pub published_before: Duration,
}

/// At most `limit` that are not made good, the oldest first, locked until the transaction
/// ends; those that somebody else has locked are left out.
///
/// # Errors
/// When the database fails.
pub async fn lock_open(transaction: &mut Transaction, limit: u32) -> Result<Vec<Gap>, Error> {
    let rows = sqlx::query!(
        "SELECT id, session_id, began_at, ended_at, counted_ms, ingress_bytes,
             ingress_bytes_before, published_ms_before
         FROM control.usage_gaps WHERE reconciled_at IS NULL
         ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
        i64::from(limit)
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            let time = |ms| number("usage_gaps", ms).map(Duration::from_millis);
            Ok(Gap {
                id: row.id,
                session_id: column("usage_gaps.session_id", &row.session_id)?,
                began_at: UnixMillis(row.began_at),
                ended_at: UnixMillis(row.ended_at),
                counted: time(row.counted_ms)?,
                ingress_bytes: number("usage_gaps.ingress_bytes", row.ingress_bytes)?,
                ingress_bytes_before: number("usage_gaps", row.ingress_bytes_before)?,
                published_before: time(row.published_ms_before)?,
            })
        })
        .collect()
}

/// Makes a gap good: so much of it counts as published, in the month that it ended in.
///
/// # Errors
/// When the database fails.
pub async fn reconcile(
    transaction: &mut Transaction,
    gap: &Gap,
    published: Duration,
    now: UnixMillis,
) -> Result<(), Error> {
    let added = millis(published) - millis(gap.counted);
    sqlx::query!(
        "UPDATE control.sessions
         SET published_ms = published_ms + $2, is_rolled = is_rolled AND $2 = 0,
             cycle_base_ms = cycle_base_ms + CASE WHEN cycle_began_at > $3 THEN $2 ELSE 0 END
         WHERE id = $1",
        gap.session_id.as_str(),
        added,
        gap.ended_at.0
    )
    .execute(&mut **transaction)
    .await?;
    // A month that is closed has it, if it is not the session's open one.
    sqlx::query!(
        "UPDATE control.session_cycles c SET published_ms = c.published_ms + $2
         FROM control.sessions s
         WHERE c.session_id = $1 AND s.id = $1 AND s.cycle_began_at > $3
           AND c.cycle_began_at = (
               SELECT max(cycle_began_at) FROM control.session_cycles
               WHERE session_id = $1 AND cycle_began_at <= $3)",
        gap.session_id.as_str(),
        added,
        gap.ended_at.0
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "UPDATE control.usage_gaps SET reconciled_at = $2, reconciled_ms = $3 WHERE id = $1",
        gap.id,
        now.0,
        millis(published)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Drops at most `limit` that ended before `before` and are made good.
///
/// # Errors
/// When the database fails.
pub async fn trim(pool: &Pool, before: UnixMillis, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.usage_gaps WHERE id IN (
             SELECT id FROM control.usage_gaps WHERE ended_at < $1 AND reconciled_at IS NOT NULL
             ORDER BY ended_at LIMIT $2)",
        before.0,
        i64::from(limit)
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
