//! What was answered to an `Idempotency-Key`.

use model::{SessionId, UnixMillis, UserId};

use super::column;
use crate::{Error, Pool, Transaction};

/// One intent of one caller.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Whose.
    pub user_id: &'a UserId,
    /// Which operation.
    pub endpoint: &'a str,
    /// The caller's name for the intent.
    pub key: &'a str,
}

/// What an earlier request with the same key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// SHA-256 of that request.
    pub request_sha256: Vec<u8>,
    /// The session it was answered with.
    pub session_id: SessionId,
}

/// The record of a key that has not expired.
///
/// # Errors
/// When the database fails.
pub async fn find(
    transaction: &mut Transaction,
    key: Key<'_>,
    now: UnixMillis,
) -> Result<Option<Record>, Error> {
    let row = sqlx::query!(
        "SELECT request_sha256, session_id FROM control.idempotency_records
         WHERE user_id = $1 AND endpoint = $2 AND key = $3 AND expires_at > $4",
        key.user_id.as_str(),
        key.endpoint,
        key.key,
        now.0
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(|row| {
        let session_id = column("idempotency_records.session_id", &row.session_id)?;
        Ok(Record {
            request_sha256: row.request_sha256,
            session_id,
        })
    })
    .transpose()
}

/// Keeps what a key was answered with; replaces an expired record.
///
/// # Errors
/// When the database fails.
pub async fn remember(
    transaction: &mut Transaction,
    key: Key<'_>,
    record: &Record,
    expires_at: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.idempotency_records
             (user_id, endpoint, key, request_sha256, session_id, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (user_id, endpoint, key) DO UPDATE
         SET request_sha256 = $4, session_id = $5, expires_at = $6",
        key.user_id.as_str(),
        key.endpoint,
        key.key,
        record.request_sha256,
        record.session_id.as_str(),
        expires_at.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Drops at most `limit` expired records.
///
/// # Errors
/// When the database fails.
pub async fn trim(pool: &Pool, now: UnixMillis, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.idempotency_records WHERE (user_id, endpoint, key) IN (
             SELECT user_id, endpoint, key FROM control.idempotency_records
             WHERE expires_at <= $1 LIMIT $2)",
        now.0,
        i64::from(limit)
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
