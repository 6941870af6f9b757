//! What users may do, and what they did.

use std::str::FromStr;

use model::{UnixMillis, UserId};
use sqlx::PgExecutor;

use super::{column, number, stored, stored_count};
use crate::{Error, Pool};

/// A user's plan and what of it is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The plan's name.
    pub plan: String,
    /// Whether the plan counts.
    pub plan_status: PlanStatus,
    /// From when on a plan that is past due or canceled does not.
    pub plan_until: Option<UnixMillis>,
    /// Sessions at the same time.
    pub connections_max: u32,
    /// Sessions now, without those whose streams move away.
    pub connections: u32,
    /// Media time in a month; none: as much as there is.
    pub included_seconds: Option<u64>,
    /// Media time since the month began.
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
        r#"SELECT p.id, u.plan_status, u.plan_until, p.connections_max, p.included_seconds,
               (SELECT count(*) FROM control.sessions s
                WHERE s.user_id = u.id AND s.state NOT IN ('draining', 'stopped')) AS "connections!",
               (SELECT coalesce(sum(s.published_ms - s.cycle_base_ms), 0)::bigint / 1000
                FROM control.sessions s
                WHERE s.user_id = u.id AND coalesce(s.cycle_began_at, s.started_at) >= $2)
                   AS "consumed_seconds!"
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
            plan_status: column("users.plan_status", &row.plan_status)?,
            plan_until: row.plan_until.map(UnixMillis),
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

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub id: String,
    /// Sessions of one user at the same time.
    pub connections_max: u32,
    /// Media time in a month; none: as much as there is.
    pub included_seconds: Option<u64>,
    /// Whether users without a plan of their own have it.
    pub is_default: bool,
}

/// The plans, by name.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool) -> Result<Vec<Plan>, Error> {
    let rows = sqlx::query!(
        "SELECT id, connections_max, included_seconds, is_default FROM control.plans ORDER BY id"
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let included = row.included_seconds;
            Ok(Plan {
                id: row.id,
                connections_max: number("plans.connections_max", row.connections_max)?,
                included_seconds: included
                    .map(|seconds| number("plans.included_seconds", seconds))
                    .transpose()?,
                is_default: row.is_default,
            })
        })
        .collect()
}

/// Makes a plan, or changes the one of that name. Which is the default stays.
///
/// # Errors
/// When the database fails.
pub async fn put(
    executor: impl PgExecutor<'_>,
    id: &str,
    connections_max: u32,
    included_seconds: Option<u64>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.plans (id, connections_max, included_seconds) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET connections_max = $2, included_seconds = $3",
        id,
        stored_count(connections_max),
        included_seconds.map(stored)
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Whether a user's plan counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStatus {
    /// It does.
    Active,
    /// It does not: no session may begin.
    Inactive,
    /// It is not paid, and counts for a while.
    PastDue,
    /// It ends with the period that is paid for.
    Canceled,
}

impl PlanStatus {
    /// The column's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
        }
    }
}

/// Not a status of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a plan's status: expected active, inactive, past_due or canceled")]
pub struct InvalidPlanStatus;

impl FromStr for PlanStatus {
    type Err = InvalidPlanStatus;

    fn from_str(text: &str) -> Result<Self, InvalidPlanStatus> {
        let all = [Self::Active, Self::Inactive, Self::PastDue, Self::Canceled];
        let found = all.into_iter().find(|status| status.as_str() == text);
        found.ok_or(InvalidPlanStatus)
    }
}

/// Gives a user a plan that is active or inactive; none is the default one. Says whether
/// there are both.
///
/// # Errors
/// When the database fails.
pub async fn assign(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    plan: Option<&str>,
    status: PlanStatus,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE control.users SET plan_id = $2, plan_status = $3, plan_until = NULL
         WHERE id = $1 AND ($2::text IS NULL OR EXISTS (
             SELECT FROM control.plans WHERE id = $2))",
        user.as_str(),
        plan,
        status.as_str()
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}
