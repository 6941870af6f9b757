//! Docks: one-time links that sign one in, and those that are signed in.

use model::{UnixMillis, UserId};

use super::accounts::{Account, AccountRow};
use super::column;
use crate::{Error, Pool, Transaction};

/// A secret, by its SHA-256, and until when it is good.
#[derive(Debug, Clone, Copy)]
pub struct Secret<'a> {
    /// What is kept of it.
    pub sha256: &'a [u8; 32],
    /// Until when.
    pub expires_at: UnixMillis,
}

/// Keeps a link that signs in once. Of one user's links only the newest
/// `links_max` stay good.
///
/// # Errors
/// When the database fails.
pub async fn add_link(
    pool: &Pool,
    user: &UserId,
    link: Secret<'_>,
    links_max: u32,
    now: UnixMillis,
) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "INSERT INTO control.dock_links (sha256, user_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4)",
        link.sha256,
        user.as_str(),
        now.0,
        link.expires_at.0
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM control.dock_links WHERE user_id = $1 AND (expires_at <= $2 OR sha256 NOT IN (
             SELECT sha256 FROM control.dock_links WHERE user_id = $1
             ORDER BY created_at DESC, sha256 LIMIT $3))",
        user.as_str(),
        now.0,
        i64::from(links_max)
    )
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

/// Exchanges a link for a signed-in dock, once: says whether the link was good. Of
/// one user's docks only the newest `docks_max` stay signed in.
///
/// # Errors
/// When the database fails; then the link is as good as before.
pub async fn sign_in(
    pool: &Pool,
    link_sha256: &[u8; 32],
    dock: Secret<'_>,
    device: &str,
    docks_max: u32,
    now: UnixMillis,
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    let user = sqlx::query_scalar!(
        "DELETE FROM control.dock_links WHERE sha256 = $1 AND expires_at > $2 RETURNING user_id",
        link_sha256,
        now.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(user) = user else {
        return Ok(false);
    };
    let user = column("dock_links.user_id", &user)?;
    add(&mut transaction, &user, dock, device, docks_max, now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Signs a dock in whose user is known. Of one user's docks only the newest
/// `docks_max` stay signed in.
///
/// # Errors
/// When the database fails.
pub async fn add(
    transaction: &mut Transaction,
    user: &UserId,
    dock: Secret<'_>,
    device: &str,
    docks_max: u32,
    now: UnixMillis,
) -> Result<(), Error> {
    let user = user.as_str();
    sqlx::query!(
        "INSERT INTO control.docks (sha256, user_id, created_at, expires_at, device)
         VALUES ($1, $2, $3, $4, $5)",
        dock.sha256,
        user,
        now.0,
        dock.expires_at.0,
        device
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM control.docks WHERE user_id = $1 AND (expires_at <= $2 OR sha256 NOT IN (
             SELECT sha256 FROM control.docks WHERE user_id = $1
             ORDER BY created_at DESC, sha256 LIMIT $3))",
        user,
        now.0,
        i64::from(docks_max)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Who signed this dock in, if it still is.
///
/// # Errors
/// When the database fails.
pub async fn account(
    pool: &Pool,
    sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT u.id AS user_id, u.tenant_id
         FROM control.docks d JOIN control.users u ON u.id = d.user_id
         WHERE d.sha256 = $1 AND d.expires_at > $2 AND u.disabled_at IS NULL",
        sha256,
        now.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Signs a dock out.
///
/// # Errors
/// When the database fails.
pub async fn sign_out(pool: &Pool, sha256: &[u8; 32]) -> Result<(), Error> {
    sqlx::query!("DELETE FROM control.docks WHERE sha256 = $1", sha256)
        .execute(pool)
        .await?;
    Ok(())
}
