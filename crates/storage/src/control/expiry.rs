//! What opened something once, and opens nothing any more.

use std::time::Duration;

use model::UnixMillis;

use crate::{Error, Pool};

/// Tokens of scripts that ended are kept for so long, for who wonders why one fails.
const ENDED_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Runs a statement for what is over at `$until`, at most `$limit` rows; says how many.
macro_rules! drop_ended {
    ($query:tt, $pool:expr, $until:expr, $limit:expr) => {
        sqlx::query!($query, $until.0, i64::from($limit))
            .execute($pool)
            .await?
            .rows_affected()
    };
}

/// Deletes the rows of a table, which have a key, whose `expires_at` has come.
macro_rules! drop_expired {
    ($table:literal, $key:literal, $pool:expr, $until:expr, $limit:expr) => {
        sqlx::query!(
            "DELETE FROM "
                + $table
                + " WHERE "
                + $key
                + " IN (SELECT "
                + $key
                + " FROM "
                + $table
                + " WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            $until.0,
            i64::from($limit)
        )
        .execute($pool)
        .await?
        .rows_affected()
    };
}

/// Deletes tokens whose time is over, of each kind at most `limit`: those of sign-ins with
/// the sign-ins themselves, of letters, of devices and docks, of visits to providers and of
/// scripts; a join token leaves its node. Returns how many of each kind went.
///
/// # Errors
/// When the database fails; what went before is gone.
pub async fn tokens(pool: &Pool, now: UnixMillis, limit: u32) -> Result<[u64; 10], Error> {
    let ended = now.minus(ENDED_KEPT);
    Ok([
        drop_expired!("control.access_tokens", "sha256", pool, now, limit),
        drop_expired!("control.refresh_tokens", "sha256", pool, now, limit),
        drop_expired!("control.mail_tokens", "sha256", pool, now, limit),
        drop_expired!("control.device_logins", "id", pool, now, limit),
        drop_expired!("control.provider_visits", "sha256", pool, now, limit),
        drop_expired!("control.dock_links", "sha256", pool, now, limit),
        drop_expired!("control.docks", "sha256", pool, now, limit),
        drop_expired!("control.sign_ins", "id", pool, now, limit),
        drop_ended!(
            "DELETE FROM control.tokens WHERE sha256 IN (
                 SELECT sha256 FROM control.tokens
                 WHERE (expires_at IS NOT NULL OR revoked_at IS NOT NULL)
                   AND least(expires_at, revoked_at) <= $1
                 ORDER BY least(expires_at, revoked_at) LIMIT $2 FOR UPDATE SKIP LOCKED)",
            pool,
            ended,
            limit
        ),
        drop_ended!(
            "UPDATE control.nodes SET join_token_sha256 = NULL, join_token_expires_at = NULL
             WHERE id IN (
                 SELECT id FROM control.nodes WHERE join_token_expires_at <= $1
                 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
            pool,
            now,
            limit
        ),
    ])
}
