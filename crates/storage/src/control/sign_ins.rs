//! Browsers, plugins and docks that are signed in, and the tokens of the first two.
//!
//! A sign-in is a family of tokens: access tokens that open, and a chain of refresh
//! tokens of which only the newest may make more. Whoever brings an older one has a
//! copy, so the family ends. Docks are kept in [`super::docks`]; here they are only
//! listed and ended.

mod ending;
mod renewal;

use std::time::Duration;

use model::{SignInId, UnixMillis, UserId};

use super::accounts::{Account, AccountRow};
use super::column;
use super::docks::Secret;
use crate::{Error, Pool, Transaction};

pub use ending::{end, end_all};
pub use renewal::{Rotation, rotate, whose};

/// How exactly the last use of a sign-in is known.
const USED_RESOLUTION: Duration = Duration::from_secs(60);
/// Access tokens of one sign-in that are good at the same time: a client that has a
/// new one may have requests under way with an older one.
const ACCESS_TOKENS_MAX: i64 = 8;

/// What is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A browser, on the account's pages.
    Browser,
    /// A program with an access and a refresh token.
    Plugin,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Plugin => "plugin",
        }
    }
}

/// A sign-in to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewSignIn<'a> {
    /// Its identifier.
    pub id: &'a SignInId,
    /// Whose.
    pub user_id: &'a UserId,
    /// What is signed in.
    pub kind: Kind,
    /// What it says it is.
    pub device: &'a str,
    /// Its tokens.
    pub tokens: Tokens<'a>,
}

/// What a sign-in holds.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// What opens.
    pub access: Secret<'a>,
    /// What makes more; a browser has none.
    pub refresh: Option<Secret<'a>>,
}

impl Tokens<'_> {
    /// Until when the sign-in lasts if nothing more is made.
    fn expires_at(&self) -> UnixMillis {
        self.refresh
            .map_or(self.access.expires_at, |refresh| refresh.expires_at)
    }
}

/// Who holds an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub account: Account,
    /// By which sign-in.
    pub sign_in_id: SignInId,
}

/// A sign-in as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// `aut_…`, or `dok_…` for a dock.
    pub id: String,
    /// `browser`, `plugin` or `dock`.
    pub kind: String,
    /// What it said it is.
    pub device: String,
    /// Since when.
    pub created_at: UnixMillis,
    /// When it was used last, to the minute; docks do not tell.
    pub used_at: Option<UnixMillis>,
    /// Until when.
    pub expires_at: UnixMillis,
}

/// Begins a sign-in. Of one user's only the newest `sign_ins_max` stay.
///
/// # Errors
/// When the database fails.
pub async fn begin(
    transaction: &mut Transaction,
    new: NewSignIn<'_>,
    sign_ins_max: u32,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.sign_ins (id, user_id, kind, device, created_at, used_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $5, $6)",
        new.id.as_str(),
        new.user_id.as_str(),
        new.kind.as_str(),
        new.device,
        now.0,
        new.tokens.expires_at().0
    )
    .execute(&mut **transaction)
    .await?;
    add_tokens(transaction, new.id, new.tokens, now).await?;
    sqlx::query!(
        "DELETE FROM control.sign_ins WHERE user_id = $1 AND (expires_at <= $2 OR id NOT IN (
             SELECT id FROM control.sign_ins WHERE user_id = $1
             ORDER BY created_at DESC, id DESC LIMIT $3))",
        new.user_id.as_str(),
        now.0,
        i64::from(sign_ins_max)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn add_tokens(
    transaction: &mut Transaction,
    id: &SignInId,
    tokens: Tokens<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.access_tokens (sha256, sign_in_id, expires_at) VALUES ($1, $2, $3)",
        tokens.access.sha256,
        id.as_str(),
        tokens.access.expires_at.0
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM control.access_tokens WHERE sign_in_id = $1 AND (expires_at <= $2 OR sha256 NOT IN (
             SELECT sha256 FROM control.access_tokens WHERE sign_in_id = $1
             ORDER BY expires_at DESC, sha256 = $4 DESC LIMIT $3))",
        id.as_str(),
        now.0,
        ACCESS_TOKENS_MAX,
        tokens.access.sha256
    )
    .execute(&mut **transaction)
    .await?;
    let Some(refresh) = tokens.refresh else {
        return Ok(());
    };
    sqlx::query!(
        "INSERT INTO control.refresh_tokens (sha256, sign_in_id, expires_at) VALUES ($1, $2, $3)",
        refresh.sha256,
        id.as_str(),
        refresh.expires_at.0
    )
    .execute(&mut **transaction)
    .await?;
    // What expired cannot be told from what never was, and need not be.
    sqlx::query!(
        "DELETE FROM control.refresh_tokens WHERE sign_in_id = $1 AND expires_at <= $2",
        id.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Who holds an access token, if it is still good; remembers the use.
///
/// # Errors
/// When the database fails.
pub async fn holder(
    pool: &Pool,
    access_sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<Option<Holder>, Error> {
    let row = sqlx::query!(
        "SELECT u.id AS user_id, u.tenant_id, s.id, s.used_at
         FROM control.access_tokens t
         JOIN control.sign_ins s ON s.id = t.sign_in_id
         JOIN control.users u ON u.id = s.user_id
         WHERE t.sha256 = $1 AND t.expires_at > $2 AND s.ended_at IS NULL AND s.expires_at > $2
           AND u.disabled_at IS NULL",
        access_sha256,
        now.0
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let holder = holder_of(row.user_id, row.tenant_id, &row.id)?;
    if row.used_at < now.minus(USED_RESOLUTION).0 {
        touch(pool, &holder.sign_in_id, now).await?;
    }
    Ok(Some(holder))
}

fn holder_of(user_id: String, tenant_id: String, sign_in_id: &str) -> Result<Holder, Error> {
    let account = AccountRow { user_id, tenant_id };
    Ok(Holder {
        account: account.try_into()?,
        sign_in_id: column("sign_ins.id", sign_in_id)?,
    })
}

async fn touch(pool: &Pool, id: &SignInId, now: UnixMillis) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.sign_ins SET used_at = greatest(used_at, $2) WHERE id = $1",
        id.as_str(),
        now.0
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A user's sign-ins and docks, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn list(
    pool: &Pool,
    user: &UserId,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<SignIn>, Error> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", kind AS "kind!", device AS "device!", created_at AS "created_at!",
               used_at, expires_at AS "expires_at!"
           FROM (
               SELECT id, kind, device, created_at, used_at, expires_at
               FROM control.sign_ins WHERE user_id = $1 AND ended_at IS NULL
               UNION ALL
               SELECT id, 'dock', coalesce(device, ''), created_at, NULL, expires_at
               FROM control.docks WHERE user_id = $1
           ) AS all_of_them
           WHERE expires_at > $2 ORDER BY created_at DESC, id DESC LIMIT $3"#,
        user.as_str(),
        now.0,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let sign_ins = rows.into_iter().map(|row| SignIn {
        id: row.id,
        kind: row.kind,
        device: row.device,
        created_at: UnixMillis(row.created_at),
        used_at: row.used_at.map(UnixMillis),
        expires_at: UnixMillis(row.expires_at),
    });
    Ok(sign_ins.collect())
}
