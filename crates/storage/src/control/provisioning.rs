//! Sessions that no node ever confirmed.

use model::{SessionId, UnixMillis};

use super::endings::{self, Ending};
use crate::{Error, Pool};

/// Why such a session ends.
pub const NOT_CONFIRMED: &str = "not_confirmed";

/// Stops at most `limit` sessions that began before `before` and that their nodes have not
/// confirmed, and wakes those. One that a stream moves to is left to its move, which is
/// undone or not.
///
/// # Errors
/// When the database fails; then none was stopped.
pub async fn reap(
    pool: &Pool,
    before: UnixMillis,
    now: UnixMillis,
    limit: u32,
) -> Result<Vec<SessionId>, Error> {
    let mut transaction = pool.begin().await?;
    let endings = sqlx::query_as!(
        Ending,
        r#"SELECT s.id, s.node_id, $3::text AS "reason!" FROM control.sessions s
           WHERE s.state = 'provisioning' AND s.started_at < $1 AND NOT EXISTS (
               SELECT FROM control.sessions o WHERE o.id = s.supersedes AND o.state = 'draining')
           ORDER BY s.started_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED"#,
        before.0,
        i64::from(limit),
        NOT_CONFIRMED
    )
    .fetch_all(&mut *transaction)
    .await?;
    let ids = endings::end(&mut transaction, &endings, now).await?;
    transaction.commit().await?;
    Ok(ids)
}
