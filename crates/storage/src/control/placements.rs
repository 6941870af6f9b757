//! Why sessions are where they are.

use std::time::Duration;

use model::{Region, SessionId, UnixMillis, UserId};
use serde_json::Value;
use sqlx::PgExecutor;

use super::column;
use crate::{Error, Pool};

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// When.
    pub at: UnixMillis,
    /// Who asked.
    pub user_id: UserId,
    /// What came of it; none: no node could take the session.
    pub session_id: Option<SessionId>,
    /// The region that was asked for.
    pub region_requested: Option<Region>,
    /// Whether it is in another.
    pub region_fallback: bool,
    /// Each candidate with its terms, or why it was refused.
    pub candidates: Value,
}

/// Writes a decision down.
///
/// # Errors
/// When the database fails.
pub async fn record(executor: impl PgExecutor<'_>, placement: &Placement) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.placements
             (at, user_id, session_id, region_requested, region_fallback, candidates)
         VALUES ($1, $2, $3, $4, $5, $6)",
        placement.at.0,
        placement.user_id.as_str(),
        placement.session_id.as_ref().map(SessionId::as_str),
        placement.region_requested.as_ref().map(Region::as_str),
        placement.region_fallback,
        placement.candidates
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Writes down that no node could take a session, once for a user within `interval`:
/// clients try again and again.
///
/// # Errors
/// When the database fails.
pub async fn record_refusal(
    pool: &Pool,
    placement: &Placement,
    interval: Duration,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.placements
             (at, user_id, region_requested, region_fallback, candidates)
         SELECT $1, $2, $3, false, $4 WHERE NOT EXISTS (
             SELECT FROM control.placements
             WHERE user_id = $2 AND session_id IS NULL AND at > $5)",
        placement.at.0,
        placement.user_id.as_str(),
        placement.region_requested.as_ref().map(Region::as_str),
        placement.candidates,
        placement.at.minus(interval).0
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Why a session is where it is.
///
/// # Errors
/// When the database fails.
pub async fn of_session(pool: &Pool, session: &SessionId) -> Result<Option<Placement>, Error> {
    let row = sqlx::query!(
        "SELECT at, user_id, region_requested, region_fallback, candidates
         FROM control.placements WHERE session_id = $1 ORDER BY id DESC LIMIT 1",
        session.as_str()
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let requested = row.region_requested.as_deref();
        Ok(Placement {
            at: UnixMillis(row.at),
            user_id: column("placements.user_id", &row.user_id)?,
            session_id: Some(session.clone()),
            region_requested: requested
                .map(|region| column("placements.region_requested", region))
                .transpose()?,
            region_fallback: row.region_fallback,
            candidates: row.candidates,
        })
    })
    .transpose()
}

/// Drops at most `limit` decisions from before `before`.
///
/// # Errors
/// When the database fails.
pub async fn trim(pool: &Pool, before: UnixMillis, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.placements WHERE id IN (
             SELECT id FROM control.placements WHERE at < $1 ORDER BY at LIMIT $2)",
        before.0,
        i64::from(limit)
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
