//! What a link in a letter proves, once: an invitation, an address, a forgotten password.

use model::{UnixMillis, UserId};

use super::{column, number};
use crate::{Error, Pool, Transaction};

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody may make an account with the address.
    Invite,
    /// A user's address is theirs.
    Verify,
    /// A user may set a new password.
    Reset,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }
}

/// A link to make.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// What is kept of its secret.
    pub sha256: &'a [u8; 32],
    /// What it is for.
    pub purpose: Purpose,
    /// The address that it proves, in lower case.
    pub email: &'a str,
    /// Whose it is; none for an invitation.
    pub user_id: Option<&'a UserId>,
    /// Until when it is good.
    pub expires_at: UnixMillis,
}

/// What a good link proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The address it was sent to.
    pub email: String,
    /// Whose it is; none for an invitation.
    pub user_id: Option<UserId>,
}

/// An invitation that nobody accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who is invited.
    pub email: String,
    /// Since when.
    pub created_at: UnixMillis,
    /// Until when.
    pub expires_at: UnixMillis,
}

/// Keeps a link. Of one address only the newest invitation is good, and the newest proof:
/// who asks for a new password is often not whom the letter reaches, and must not spoil
/// the letter before. Links that expired are dropped on the way.
///
/// # Errors
/// When the database fails.
pub async fn add(
    transaction: &mut Transaction,
    token: NewToken<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM control.mail_tokens
         WHERE (email = $1 AND purpose = $2 AND purpose <> 'reset') OR expires_at <= $3",
        token.email,
        token.purpose.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO control.mail_tokens (sha256, purpose, email, user_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        token.sha256,
        token.purpose.as_str(),
        token.email,
        token.user_id.map(UserId::as_str),
        now.0,
        token.expires_at.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The links for an address and a purpose that are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Good {
    /// How many.
    pub count: u32,
    /// When the newest was made.
    pub newest_at: Option<UnixMillis>,
}

/// The links for an address and a purpose that are good.
///
/// # Errors
/// When the database fails.
pub async fn good(
    pool: &Pool,
    email: &str,
    purpose: Purpose,
    now: UnixMillis,
) -> Result<Good, Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!", max(created_at) AS newest_at FROM control.mail_tokens
           WHERE email = $1 AND purpose = $2 AND expires_at > $3"#,
        email,
        purpose.as_str(),
        now.0
    )
    .fetch_one(pool)
    .await?;
    Ok(Good {
        count: number("count", row.count)?,
        newest_at: row.newest_at.map(UnixMillis),
    })
}

/// What a link would prove, without using it up.
///
/// # Errors
/// When the database fails.
pub async fn peek(
    pool: &Pool,
    sha256: &[u8; 32],
    purpose: Purpose,
    now: UnixMillis,
) -> Result<Option<Proof>, Error> {
    let row = sqlx::query!(
        "SELECT email, user_id FROM control.mail_tokens
         WHERE sha256 = $1 AND purpose = $2 AND expires_at > $3",
        sha256,
        purpose.as_str(),
        now.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| proof(row.email, row.user_id)).transpose()
}

/// Uses a link up.
///
/// # Errors
/// When the database fails; then the link is as good as before.
pub async fn take(
    transaction: &mut Transaction,
    sha256: &[u8; 32],
    purpose: Purpose,
    now: UnixMillis,
) -> Result<Option<Proof>, Error> {
    let row = sqlx::query!(
        "DELETE FROM control.mail_tokens
         WHERE sha256 = $1 AND purpose = $2 AND expires_at > $3 RETURNING email, user_id",
        sha256,
        purpose.as_str(),
        now.0
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(|row| proof(row.email, row.user_id)).transpose()
}

fn proof(email: String, user_id: Option<String>) -> Result<Proof, Error> {
    let user_id = user_id.map(|id| column("mail_tokens.user_id", &id));
    Ok(Proof {
        email,
        user_id: user_id.transpose()?,
    })
}

/// Drops every link of a user.
///
/// # Errors
/// When the database fails.
pub async fn forget(transaction: &mut Transaction, user: &UserId) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM control.mail_tokens WHERE user_id = $1",
        user.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Who is invited and did not come yet, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn invitations(
    pool: &Pool,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<Invitation>, Error> {
    let rows = sqlx::query!(
        "SELECT email, created_at, expires_at FROM control.mail_tokens
         WHERE purpose = 'invite' AND expires_at > $1 ORDER BY created_at DESC, email LIMIT $2",
        now.0,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let invitations = rows.into_iter().map(|row| Invitation {
        email: row.email,
        created_at: UnixMillis(row.created_at),
        expires_at: UnixMillis(row.expires_at),
    });
    Ok(invitations.collect())
}
