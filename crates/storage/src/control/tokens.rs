//! Tokens of users for their scripts, which an operator gives. They are good until they
//! are revoked, or until a day that the operator set.

use model::{UnixMillis, UserId};

use super::number;
use crate::{Error, Pool, Transaction};

/// Tokens of one user that are good at the same time.
const TOKENS_MAX: u32 = 64;

/// A token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `tok_…`; it opens nothing.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// Since when it is good.
    pub created_at: UnixMillis,
    /// Until when; none: until it is revoked.
    pub expires_at: Option<UnixMillis>,
}

/// A token to make.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// What is kept of its secret.
    pub sha256: &'a [u8; 32],
    /// What the operator calls it.
    pub name: &'a str,
    /// Until when it is good; none: until it is revoked.
    pub expires_at: Option<UnixMillis>,
}

/// Gives a user a further token; none when they have as many as anybody may.
///
/// # Errors
/// When the database fails.
pub async fn add(
    transaction: &mut Transaction,
    user: &UserId,
    new: NewToken<'_>,
    now: UnixMillis,
) -> Result<Option<Token>, Error> {
    let good = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM control.tokens WHERE user_id = $1
           AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)"#,
        user.as_str(),
        now.0
    )
    .fetch_one(&mut **transaction)
    .await?;
    if number::<u32>("count", good)? >= TOKENS_MAX {
        return Ok(None);
    }
    let id = sqlx::query_scalar!(
        "INSERT INTO control.tokens (sha256, user_id, name, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5) RETURNING id",
        new.sha256,
        user.as_str(),
        new.name,
        now.0,
        new.expires_at.map(|at| at.0)
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(Some(Token {
        id,
        name: new.name.to_owned(),
        created_at: now,
        expires_at: new.expires_at,
    }))
}

/// A user's tokens that are good, the newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, user: &UserId, now: UnixMillis) -> Result<Vec<Token>, Error> {
    let rows = sqlx::query!(
        "SELECT id, name, created_at, expires_at FROM control.tokens WHERE user_id = $1
         AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
         ORDER BY created_at DESC, id LIMIT $3",
        user.as_str(),
        now.0,
        i64::from(TOKENS_MAX)
    )
    .fetch_all(pool)
    .await?;
    let tokens = rows.into_iter().map(|row| Token {
        id: row.id,
        name: row.name,
        created_at: UnixMillis(row.created_at),
        expires_at: row.expires_at.map(UnixMillis),
    });
    Ok(tokens.collect())
}

/// Ends a user's token, or all of them without an `id`; says how many were good.
///
/// # Errors
/// When the database fails.
pub async fn revoke(
    transaction: &mut Transaction,
    user: &UserId,
    id: Option<&str>,
    now: UnixMillis,
) -> Result<u64, Error> {
    let revoked = sqlx::query!(
        "UPDATE control.tokens SET revoked_at = $3 WHERE user_id = $1 AND revoked_at IS NULL
         AND (expires_at IS NULL OR expires_at > $3) AND ($2::text IS NULL OR id = $2)",
        user.as_str(),
        id,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(revoked.rows_affected())
}
