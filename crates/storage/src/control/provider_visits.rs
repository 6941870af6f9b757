//! Browsers on their way to a provider of identities and back.

use model::{Provider, UnixMillis, UserId};

use super::pending::PendingMax;
use super::{column, number};
use crate::{Error, Pool, Transaction};

/// Why a browser goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Somebody signs in.
    SignIn,
    /// Somebody accepts an invitation, whose secret has this hash.
    Accept([u8; 32]),
    /// A user links an account.
    Link(UserId),
}

/// A visit that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewVisit<'a> {
    /// What is kept of the browser's secret.
    pub sha256: &'a [u8; 32],
    /// Where the browser goes.
    pub provider: Provider,
    /// Why.
    pub errand: &'a Errand,
    /// The network that it comes from.
    pub origin: &'a str,
    /// Until when it may come back.
    pub expires_at: UnixMillis,
}

/// Keeps a visit that begins. Says no when too many are under way from the same origin.
///
/// # Errors
/// When the database fails.
pub async fn add(
    pool: &Pool,
    new: NewVisit<'_>,
    max: PendingMax,
    now: UnixMillis,
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "DELETE FROM control.provider_visits WHERE expires_at <= $1",
        now.0
    )
    .execute(&mut *transaction)
    .await?;
    let pending = sqlx::query!(
        r#"SELECT count(*) AS "all!", count(*) FILTER (WHERE origin = $1) AS "of_origin!"
           FROM control.provider_visits"#,
        new.origin
    )
    .fetch_one(&mut *transaction)
    .await?;
    if number::<u32>("count", pending.of_origin)? >= max.of_origin {
        return Ok(false);
    }
    if number::<u32>("count", pending.all)? >= max.all {
        drop_one(&mut transaction).await?;
    }
    let (user, invite) = match new.errand {
        Errand::SignIn => (None, None),
        Errand::Accept(invite) => (None, Some(invite.as_slice())),
        Errand::Link(user) => (Some(user.as_str()), None),
    };
    sqlx::query!(
        "INSERT INTO control.provider_visits
             (sha256, provider, user_id, invite_sha256, origin, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        new.sha256,
        new.provider.as_str(),
        user,
        invite,
        new.origin,
        new.expires_at.0
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Drops the visit that is the longest under way from where most are.
async fn drop_one(transaction: &mut Transaction) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM control.provider_visits WHERE sha256 = (
             SELECT sha256 FROM control.provider_visits WHERE origin = (
                 SELECT origin FROM control.provider_visits
                 GROUP BY origin ORDER BY count(*) DESC, origin LIMIT 1)
             ORDER BY expires_at, sha256 LIMIT 1)"
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Ends a visit: why it began, once, and in time only.
///
/// # Errors
/// When the database fails.
pub async fn take(
    pool: &Pool,
    sha256: &[u8; 32],
    provider: Provider,
    now: UnixMillis,
) -> Result<Option<Errand>, Error> {
    let row = sqlx::query!(
        "DELETE FROM control.provider_visits
         WHERE sha256 = $1 AND provider = $2 AND expires_at > $3
         RETURNING user_id, invite_sha256",
        sha256,
        provider.as_str(),
        now.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let errand = match (row.user_id, row.invite_sha256) {
        (Some(user), _) => Errand::Link(column("provider_visits.user_id", &user)?),
        (None, Some(invite)) => Errand::Accept(sha256_of(invite)?),
        (None, None) => Errand::SignIn,
    };
    Ok(Some(errand))
}

fn sha256_of(bytes: Vec<u8>) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|bytes: Vec<u8>| Error::Row {
        column: "provider_visits.invite_sha256",
        value: format!("{} bytes", bytes.len()),
    })
}
