//! Accounts elsewhere that users sign in with.

use model::{Provider, UnixMillis, UserId};
use sqlx::PgExecutor;

use super::accounts::{Account, AccountRow};
use super::column;
use crate::{Error, Pool, Transaction};

/// Who somebody is elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// Who says so.
    pub provider: Provider,
    /// What the provider calls them for ever.
    pub subject: &'a str,
    /// What they are called there now.
    pub name: &'a str,
}

/// An account elsewhere that a user signs in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedAccount {
    /// Where.
    pub provider: Provider,
    /// What the provider calls the person for ever.
    pub subject: String,
    /// What they were called there when it was linked.
    pub name: String,
    /// Since when.
    pub linked_at: UnixMillis,
}

/// The accounts that a user linked, by provider.
///
/// # Errors
/// When the database fails.
pub async fn list(
    executor: impl PgExecutor<'_>,
    user: &UserId,
) -> Result<Vec<LinkedAccount>, Error> {
    let rows = sqlx::query!(
        "SELECT provider, subject, name, linked_at FROM control.linked_accounts
         WHERE user_id = $1 ORDER BY provider",
        user.as_str()
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LinkedAccount {
                provider: column("linked_accounts.provider", &row.provider)?,
                subject: row.subject,
                name: row.name,
                linked_at: UnixMillis(row.linked_at),
            })
        })
        .collect()
}

/// The enabled user who signs in as this.
///
/// # Errors
/// When the database fails.
pub async fn holder(
    pool: &Pool,
    provider: Provider,
    subject: &str,
) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT u.id AS user_id, u.tenant_id FROM control.linked_accounts l
         JOIN control.users u ON u.id = l.user_id
         WHERE l.provider = $1 AND l.subject = $2 AND u.disabled_at IS NULL",
        provider.as_str(),
        subject
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Lets a user sign in as this from now on.
///
/// # Errors
/// [`Error::Conflict`] when somebody does already, or the user has another account there.
pub async fn link(
    transaction: &mut Transaction,
    user: &UserId,
    identity: Identity<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.linked_accounts (provider, subject, user_id, name, linked_at)
         VALUES ($1, $2, $3, $4, $5)",
        identity.provider.as_str(),
        identity.subject,
        user.as_str(),
        identity.name,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Ends that. Says whether there was such an account.
///
/// # Errors
/// When the database fails.
pub async fn unlink(
    transaction: &mut Transaction,
    user: &UserId,
    provider: Provider,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.linked_accounts WHERE user_id = $1 AND provider = $2",
        user.as_str(),
        provider.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}
