//! Browsers on their way to a provider of identities and back.

use model::{Provider, UnixMillis, UserId};

use super::{column, number};
use crate::{Error, Pool};

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

/// Keeps a visit that begins. Says no when `pending_max` are under way already: anybody
/// may begin one, so there must be an end to it.
///
/// # Errors
/// When the database fails.
pub async fn add(
    pool: &Pool,
    sha256: &[u8; 32],
    (provider, errand): (Provider, &Errand),
    expires_at: UnixMillis,
    (pending_max, now): (u32, UnixMillis),
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "DELETE FROM control.provider_visits WHERE expires_at <= $1",
        now.0
    )
    .execute(&mut *transaction)
    .await?;
    let pending =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM control.provider_visits"#)
            .fetch_one(&mut *transaction)
            .await?;
    if number::<u32>("count", pending)? >= pending_max {
        return Ok(false);
    }
    let (user, invite) = match errand {
        Errand::SignIn => (None, None),
        Errand::Accept(invite) => (None, Some(invite.as_slice())),
        Errand::Link(user) => (Some(user.as_str()), None),
    };
    sqlx::query!(
        "INSERT INTO control.provider_visits (sha256, provider, user_id, invite_sha256, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
        sha256,
        provider.as_str(),
        user,
        invite,
        expires_at.0
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
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
