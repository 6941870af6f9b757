//! The keys that sign leases. Their seeds are sealed by whoever calls.

use model::UnixMillis;
use model::lease_key::LeaseKeyState;
use sqlx::PgExecutor;

use super::{column, wake};
use crate::{Error, Transaction};

/// A key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseKey {
    /// Its name in leases.
    pub kid: String,
    /// The public half.
    pub public_key: [u8; 32],
    /// What it is for.
    pub state: LeaseKeyState,
    /// The secret half, sealed; gone once it signs no more.
    pub sealed_seed: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it began to sign.
    pub promoted_at: Option<UnixMillis>,
    /// Of a retired key: until when what it signed is believed.
    pub believed_until: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
}

/// A key to keep.
#[derive(Debug, Clone, Copy)]
pub struct NewLeaseKey<'a> {
    /// Its name in leases.
    pub kid: &'a str,
    /// The public half.
    pub public_key: &'a [u8; 32],
    /// The secret half, sealed.
    pub sealed_seed: &'a [u8],
    /// [`LeaseKeyState::Next`] or [`LeaseKeyState::Current`].
    pub state: LeaseKeyState,
}

struct Row {
    kid: String,
    public_key: Vec<u8>,
    state: String,
    sealed_seed: Option<Vec<u8>>,
    created_at: i64,
    promoted_at: Option<i64>,
    believed_until: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<Row> for LeaseKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let public_key = row.public_key.try_into().map_err(|_| Error::Row {
            column: "lease_keys.public_key",
            value: row.kid.clone(),
        })?;
        Ok(Self {
            public_key,
            state: column("lease_keys.state", &row.state)?,
            kid: row.kid,
            sealed_seed: row.sealed_seed,
            created_at: UnixMillis(row.created_at),
            promoted_at: row.promoted_at.map(UnixMillis),
            believed_until: row.believed_until.map(UnixMillis),
            revoked_at: row.revoked_at.map(UnixMillis),
        })
    }
}

/// Every key, the oldest first; of those made at once, the one that signs or signed before.
///
/// # Errors
/// When the database fails, or a row holds what this version does not know.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<LeaseKey>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT kid, public_key, state, sealed_seed, created_at, promoted_at, believed_until,
             revoked_at
         FROM control.lease_keys
         ORDER BY created_at, array_position(ARRAY['revoked', 'retired', 'current', 'next'], state), kid"
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Lets nobody else change keys until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &mut Transaction) -> Result<(), Error> {
    sqlx::query!("LOCK TABLE control.lease_keys IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Keeps a key.
///
/// # Errors
/// When the database fails, or has a key of that state or name already.
pub async fn insert(
    transaction: &mut Transaction,
    key: NewLeaseKey<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    let promoted_at = (key.state == LeaseKeyState::Current).then_some(now.0);
    sqlx::query!(
        "INSERT INTO control.lease_keys
             (kid, public_key, state, sealed_seed, created_at, promoted_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        key.kid,
        key.public_key,
        key.state.as_str(),
        key.sealed_seed,
        now.0,
        promoted_at
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_keys(transaction).await
}

/// The current key signs no more; what it signed is believed until then.
///
/// # Errors
/// When the database fails.
pub async fn retire_current(
    transaction: &mut Transaction,
    believed_until: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.lease_keys SET state = 'retired', sealed_seed = NULL, believed_until = $1
         WHERE state = 'current'",
        believed_until.0
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_keys(transaction).await
}

/// The next key signs from now on.
///
/// # Errors
/// When the database fails, or a key is current.
pub async fn promote_next(transaction: &mut Transaction, now: UnixMillis) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.lease_keys SET state = 'current', promoted_at = $1 WHERE state = 'next'",
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_keys(transaction).await
}

/// Nothing this key signed is believed from now on.
///
/// # Errors
/// When the database fails.
pub async fn revoke(
    transaction: &mut Transaction,
    kid: &str,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.lease_keys
         SET state = 'revoked', sealed_seed = NULL, believed_until = NULL, revoked_at = $2
         WHERE kid = $1",
        kid,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    wake::notify_keys(transaction).await
}
