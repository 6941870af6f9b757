//! What users may do, and what they did.

use model::{UnixMillis, UserId};
use sqlx::PgExecutor;

use super::number;
use crate::Error;

/// A user's plan and what of it is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The plan's name.
    pub plan: String,
    /// Whether the plan counts: `active` or `inactive`.
    pub plan_status: String,
    /// Sessions at the same time.
    pub connections_max: u32,
    /// Sessions now.
    pub connections: u32,
    /// Media time in a month; none: as much as there is.
    pub included_seconds: Option<u64>,
    /// Media time since the month began, of the sessions that began in it.
    pub consumed_seconds: u64,
}

/// How a user stands; none when there is no such user.
///
/// # Errors
/// When the database fails.
pub async fn standing(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    month_began: UnixMillis,
) -> Result<Option<Standing>, Error> {
    let row = sqlx::query!(
        r#"SELECT p.id, u.plan_status, p.connections_max, p.included_seconds,
               (SELECT count(*) FROM control.sessions s
                WHERE s.user_id = u.id AND s.state <> 'stopped') AS "connections!",
               (SELECT coalesce(sum(s.published_ms), 0)::bigint / 1000 FROM control.sessions s
                WHERE s.user_id = u.id AND s.started_at >= $2) AS "consumed_seconds!"
           FROM control.users u JOIN control.plans p
             ON p.id = u.plan_id OR (u.plan_id IS NULL AND p.is_default)
           WHERE u.id = $1"#,
        user.as_str(),
        month_began.0
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        let included = row.included_seconds;
        Ok(Standing {
            plan: row.id,
            plan_status: row.plan_status,
            connections_max: number("plans.connections_max", row.connections_max)?,
            connections: number("count", row.connections)?,
            included_seconds: included
                .map(|seconds| number("plans.included_seconds", seconds))
                .transpose()?,
            consumed_seconds: number("sessions.published_ms", row.consumed_seconds)?,
        })
    })
    .transpose()
}
