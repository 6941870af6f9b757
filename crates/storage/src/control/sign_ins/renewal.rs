//! Refresh tokens: the newest makes the next, an older one ends its sign-in.

use model::{SignInId, UnixMillis};

use super::{Holder, Tokens, add_tokens, end, holder_of};
use crate::control::accounts::{Account, AccountRow};
use crate::{Error, Pool, Transaction};

/// What came of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was the newest; the new tokens are good.
    Rotated(Holder),
    /// It was used before. The sign-in ended with this.
    Reused(Holder),
    /// It was good once; it expired or its sign-in ended.
    Ended,
    /// Nobody's.
    Unknown,
}

/// Whose a refresh token is or was, whether it is good or not.
///
/// # Errors
/// When the database fails.
pub async fn whose(pool: &Pool, refresh_sha256: &[u8; 32]) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT u.id AS user_id, u.tenant_id FROM control.refresh_tokens r
         JOIN control.sign_ins s ON s.id = r.sign_in_id
         JOIN control.users u ON u.id = s.user_id WHERE r.sha256 = $1",
        refresh_sha256
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Exchanges the newest refresh token of a sign-in for `fresh` ones. An older one ends
/// the sign-in: its holder, or the one before, has a copy.
///
/// # Errors
/// When the database fails; then nothing changed.
pub async fn rotate(
    pool: &Pool,
    refresh_sha256: &[u8; 32],
    fresh: Tokens<'_>,
    now: UnixMillis,
) -> Result<Rotation, Error> {
    let mut transaction = pool.begin().await?;
    // Compare and swap: of two that come at once, the second finds it replaced.
    let swapped = sqlx::query!(
        "UPDATE control.refresh_tokens r SET replaced_at = $2
         FROM control.sign_ins s JOIN control.users u ON u.id = s.user_id
         WHERE r.sha256 = $1 AND r.replaced_at IS NULL AND r.expires_at > $2
           AND s.id = r.sign_in_id AND s.ended_at IS NULL AND u.disabled_at IS NULL
         RETURNING s.id, u.id AS user_id, u.tenant_id",
        refresh_sha256,
        now.0
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let rotation = match swapped {
        Some(row) => {
            let holder = holder_of(row.user_id, row.tenant_id, &row.id)?;
            prolong(&mut transaction, &holder.sign_in_id, fresh, now).await?;
            Rotation::Rotated(holder)
        }
        None => judge(&mut transaction, refresh_sha256, now).await?,
    };
    transaction.commit().await?;
    Ok(rotation)
}

async fn prolong(
    transaction: &mut Transaction,
    id: &SignInId,
    fresh: Tokens<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    add_tokens(transaction, id, fresh, now).await?;
    sqlx::query!(
        "UPDATE control.sign_ins SET used_at = $2, expires_at = $3 WHERE id = $1",
        id.as_str(),
        now.0,
        fresh.expires_at().0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Why a refresh token was not exchanged; ends the sign-in of one that was used before.
async fn judge(
    transaction: &mut Transaction,
    refresh_sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<Rotation, Error> {
    let row = sqlx::query!(
        r#"SELECT s.id, u.id AS user_id, u.tenant_id,
               (r.replaced_at IS NOT NULL AND s.ended_at IS NULL) AS "is_reuse!"
           FROM control.refresh_tokens r
           JOIN control.sign_ins s ON s.id = r.sign_in_id
           JOIN control.users u ON u.id = s.user_id
           WHERE r.sha256 = $1"#,
        refresh_sha256
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = row else {
        return Ok(Rotation::Unknown);
    };
    if !row.is_reuse {
        return Ok(Rotation::Ended);
    }
    let holder = holder_of(row.user_id, row.tenant_id, &row.id)?;
    let user = &holder.account.user_id;
    end(transaction, user, &row.id, "refresh_token_reused", now).await?;
    Ok(Rotation::Reused(holder))
}
