//! Devices that ask to be signed in, see RFC 8628 (device authorization grant).
//!
//! ```text
//! pending ─▶ approved ─▶ claimed
//!    └─────▶ denied
//! ```

use std::time::Duration;

use model::{UnixMillis, UserId};

use super::accounts::{Account, AccountRow};
use super::number;
use super::pending::PendingMax;
use crate::{Error, Pool, Transaction};

/// For so long a device that comes too late hears why.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// What asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program that wants tokens.
    Plugin,
    /// A dock that wants its cookie.
    Dock,
}

impl Kind {
    /// The column's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Dock => "dock",
        }
    }
}

/// What was decided of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Pending,
    /// It may come in.
    Approved,
    /// It may not, and why.
    Denied(String),
    /// It came in.
    Claimed,
}

/// A device that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLogin {
    /// `pla_…`.
    pub id: String,
    /// What the device and the browser both show.
    pub user_code: String,
    /// What it says it is.
    pub device: String,
    /// `plugin` or `dock`.
    pub kind: String,
    /// What was decided.
    pub state: State,
    /// Since when it asks.
    pub created_at: UnixMillis,
    /// Until when it may.
    pub expires_at: UnixMillis,
}

/// A device that begins to ask.
#[derive(Debug, Clone, Copy)]
pub struct NewDeviceLogin<'a> {
    /// `pla_…`.
    pub id: &'a str,
    /// What asks.
    pub kind: Kind,
    /// What is kept of the secret that it asks with.
    pub poll_sha256: &'a [u8; 32],
    /// What the device and the browser both show.
    pub user_code: &'a str,
    /// What it says it is.
    pub device: &'a str,
    /// The network that it asks from.
    pub origin: &'a str,
    /// Until when it may ask.
    pub expires_at: UnixMillis,
}

struct Row {
    id: String,
    kind: String,
    user_code: String,
    device: String,
    state: String,
    reason_code: Option<String>,
    created_at: i64,
    expires_at: i64,
}

impl TryFrom<Row> for DeviceLogin {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let state = match (row.state.as_str(), row.reason_code) {
            ("pending", _) => State::Pending,
            ("approved", _) => State::Approved,
            ("denied", Some(reason)) => State::Denied(reason),
            ("claimed", _) => State::Claimed,
            _ => {
                return Err(Error::Row {
                    column: "device_logins.state",
                    value: row.state,
                });
            }
        };
        Ok(Self {
            id: row.id,
            user_code: row.user_code,
            device: row.device,
            kind: row.kind,
            state,
            created_at: UnixMillis(row.created_at),
            expires_at: UnixMillis(row.expires_at),
        })
    }
}

/// Keeps a device that asks. Says no when too many do so from the same origin.
///
/// # Errors
/// [`Error::Conflict`] when another device has the same code: try with another.
pub async fn add(
    pool: &Pool,
    new: NewDeviceLogin<'_>,
    max: PendingMax,
    now: UnixMillis,
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "DELETE FROM control.device_logins WHERE expires_at <= $1",
        now.minus(REMEMBERED).0
    )
    .execute(&mut *transaction)
    .await?;
    let pending = sqlx::query!(
        r#"SELECT count(*) AS "all!", count(*) FILTER (WHERE origin = $2) AS "of_origin!"
           FROM control.device_logins WHERE expires_at > $1 AND state = 'pending'"#,
        now.0,
        new.origin
    )
    .fetch_one(&mut *transaction)
    .await?;
    if number::<u32>("count", pending.of_origin)? >= max.of_origin {
        return Ok(false);
    }
    if number::<u32>("count", pending.all)? >= max.all {
        drop_one(&mut transaction, now).await?;
    }
    sqlx::query!(
        "INSERT INTO control.device_logins
             (id, kind, poll_sha256, user_code, device, origin, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id,
        new.kind.as_str(),
        new.poll_sha256,
        new.user_code,
        new.device,
        new.origin,
        now.0,
        new.expires_at.0
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Drops the device that asks for the longest from where most do.
async fn drop_one(transaction: &mut Transaction, now: UnixMillis) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM control.device_logins WHERE id = (
             SELECT id FROM control.device_logins
             WHERE expires_at > $1 AND state = 'pending' AND origin = (
                 SELECT origin FROM control.device_logins
                 WHERE expires_at > $1 AND state = 'pending'
                 GROUP BY origin ORDER BY count(*) DESC, origin LIMIT 1)
             ORDER BY created_at, id LIMIT 1)",
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The device that asks by this secret.
///
/// # Errors
/// When the database fails.
pub async fn by_poll(
    pool: &Pool,
    id: &str,
    kind: Kind,
    poll_sha256: &[u8; 32],
) -> Result<Option<DeviceLogin>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, kind, user_code, device, state, reason_code, created_at, expires_at
         FROM control.device_logins WHERE id = $1 AND kind = $2 AND poll_sha256 = $3",
        id,
        kind.as_str(),
        poll_sha256
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// A device by its id or by its code.
///
/// # Errors
/// When the database fails.
pub async fn find(pool: &Pool, id_or_code: &str) -> Result<Option<DeviceLogin>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, kind, user_code, device, state, reason_code, created_at, expires_at
         FROM control.device_logins WHERE id = $1 OR user_code = $1",
        id_or_code
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// A word on a device.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'a> {
    /// It is this user's.
    Approve(&'a UserId),
    /// It is nobody's, for this reason.
    Deny(&'a str),
}

/// Decides on a device that still asks; says whether one did.
///
/// # Errors
/// When the database fails.
pub async fn decide(
    pool: &Pool,
    id: &str,
    decision: Decision<'_>,
    now: UnixMillis,
) -> Result<bool, Error> {
    let (state, user, reason) = match decision {
        Decision::Approve(user) => ("approved", Some(user.as_str()), None),
        Decision::Deny(reason) => ("denied", None, Some(reason)),
    };
    let done = sqlx::query!(
        "UPDATE control.device_logins SET state = $2, user_id = $3, reason_code = $4
         WHERE id = $1 AND state = 'pending' AND expires_at > $5",
        id,
        state,
        user,
        reason,
        now.0
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets an approved device in, once: whose it is, unless another came first, it came
/// too late or its user was shut out.
///
/// # Errors
/// When the database fails; then it is as it was.
pub async fn claim(
    transaction: &mut Transaction,
    id: &str,
    now: UnixMillis,
) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "UPDATE control.device_logins d SET state = 'claimed' FROM control.users u
         WHERE d.id = $1 AND d.state = 'approved' AND d.expires_at > $2
           AND u.id = d.user_id AND u.disabled_at IS NULL
         RETURNING u.id AS user_id, u.tenant_id",
        id,
        now.0
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Drops the devices that a user approved and that did not come in yet.
///
/// # Errors
/// When the database fails.
pub async fn forget(transaction: &mut Transaction, user: &UserId) -> Result<(), Error> {
    sqlx::query!(
        "DELETE FROM control.device_logins WHERE user_id = $1 AND state = 'approved'",
        user.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
