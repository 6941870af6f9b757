//! Bans: who and what is shut out, why, and until when.

use model::ban::BanKind;
use model::{BanId, UnixMillis, UserId};
use sqlx::PgExecutor;

use super::{column, number, wake};
use crate::{Error, Pool, Transaction};

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Its identifier.
    pub id: BanId,
    /// What it is of.
    pub kind: BanKind,
    /// Whom or what: an id, an address prefix, or a slot with its keys' generation and role.
    pub subject: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when.
    pub created_at: UnixMillis,
    /// Who banned.
    pub created_by: UserId,
    /// When it ends by itself; none: when it is lifted.
    pub expires_at: Option<UnixMillis>,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
}

impl Ban {
    /// Whether it holds now.
    #[must_use]
    pub fn is_in_force(&self, now: UnixMillis) -> bool {
        self.ended_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

macro_rules! select_bans {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            "SELECT id, kind, subject, reason, created_at, created_by, expires_at, ended_at
             FROM control.bans " + $tail
            $(, $argument)*
        )
    };
}

/// Adds a ban, and wakes who has to tell nodes.
///
/// # Errors
/// [`Error::Conflict`] when its subject is banned already.
pub async fn add(transaction: &mut Transaction, ban: &Ban) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.bans
             (id, kind, subject, reason, created_at, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        ban.id.as_str(),
        ban.kind.as_str(),
        ban.subject,
        ban.reason,
        ban.created_at.0,
        ban.created_by.as_str(),
        ban.expires_at.map(|at| at.0)
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_bans(transaction).await
}

/// One ban.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, id: &BanId) -> Result<Option<Ban>, Error> {
    let row = select_bans!("WHERE id = $1", id.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Every ban that was not lifted and has not expired, the oldest first.
///
/// # Errors
/// When the database fails.
pub async fn in_force(executor: impl PgExecutor<'_>, now: UnixMillis) -> Result<Vec<Ban>, Error> {
    let rows = select_bans!(
        "WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
         ORDER BY created_at, id",
        now.0
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The bans that ended, the last first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn ended(pool: &Pool, limit: u32) -> Result<Vec<Ban>, Error> {
    let rows = select_bans!(
        "WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT $1",
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// How many bans of a kind there are. Nobody adds one until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn count(transaction: &mut Transaction, kind: BanKind) -> Result<u32, Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('control.bans'))")
        .execute(&mut **transaction)
        .await?;
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM control.bans WHERE kind = $1 AND ended_at IS NULL"#,
        kind.as_str()
    )
    .fetch_one(&mut **transaction)
    .await?;
    number("count", count)
}

/// Lifts a ban unless it ended, and wakes who has to tell nodes. Says whether it was there.
///
/// # Errors
/// When the database fails.
pub async fn lift(
    transaction: &mut Transaction,
    id: &BanId,
    now: UnixMillis,
) -> Result<bool, Error> {
    let lifted = sqlx::query!(
        "UPDATE control.bans SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL",
        id.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_bans(transaction).await?;
    Ok(lifted.rows_affected() == 1)
}

/// Ends the bans whose time is over, and says which.
///
/// # Errors
/// When the database fails.
pub async fn expire(transaction: &mut Transaction, now: UnixMillis) -> Result<Vec<Ban>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "UPDATE control.bans SET ended_at = expires_at
         WHERE ended_at IS NULL AND expires_at <= $1
         RETURNING id, kind, subject, reason, created_at, created_by, expires_at, ended_at",
        now.0
    )
    .fetch_all(&mut **transaction)
    .await?;
    if !rows.is_empty() {
        wake::notify_bans(transaction).await?;
    }
    rows.into_iter().map(TryInto::try_into).collect()
}

struct Row {
    id: String,
    kind: String,
    subject: String,
    reason: String,
    created_at: i64,
    created_by: String,
    expires_at: Option<i64>,
    ended_at: Option<i64>,
}

impl TryFrom<Row> for Ban {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: column("bans.id", &row.id)?,
            kind: column("bans.kind", &row.kind)?,
            subject: row.subject,
            reason: row.reason,
            created_at: UnixMillis(row.created_at),
            created_by: column("bans.created_by", &row.created_by)?,
            expires_at: row.expires_at.map(UnixMillis),
            ended_at: row.ended_at.map(UnixMillis),
        })
    }
}
