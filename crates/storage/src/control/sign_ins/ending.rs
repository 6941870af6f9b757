//! Sign-ins end: one, or all of a user's.

use model::{SignInId, UnixMillis, UserId};

use crate::{Error, Transaction};

/// Ends one of a user's sign-ins or docks; says whether it was there.
///
/// # Errors
/// When the database fails.
pub async fn end(
    transaction: &mut Transaction,
    user: &UserId,
    id: &str,
    reason: &str,
    now: UnixMillis,
) -> Result<bool, Error> {
    let ended = sqlx::query!(
        "UPDATE control.sign_ins SET ended_at = $3, end_reason = $4
         WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3",
        id,
        user.as_str(),
        now.0,
        reason
    )
    .execute(&mut **transaction)
    .await?;
    let left = sqlx::query!(
        "DELETE FROM control.docks WHERE id = $1 AND user_id = $2",
        id,
        user.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(ended.rows_affected() + left.rows_affected() > 0)
}

/// Ends all of a user's sign-ins and docks but `kept`, and their dock links.
///
/// # Errors
/// When the database fails.
pub async fn end_all(
    transaction: &mut Transaction,
    user: &UserId,
    kept: Option<&SignInId>,
    reason: &str,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.sign_ins SET ended_at = $2, end_reason = $3
         WHERE user_id = $1 AND ended_at IS NULL AND id IS DISTINCT FROM $4",
        user.as_str(),
        now.0,
        reason,
        kept.map(SignInId::as_str)
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM control.docks WHERE user_id = $1",
        user.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "DELETE FROM control.dock_links WHERE user_id = $1",
        user.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
