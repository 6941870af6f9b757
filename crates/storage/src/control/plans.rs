//! What users may do, and what they did.

use std::str::FromStr;

use model::{UnixMillis, UserId};
use sqlx::PgExecutor;

use super::{column, number, stored, stored_count};
use crate::{Error, Pool};

/// What a plan includes of something in a calendar month, and what of it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// None: as much as there is.
    pub included: Option<u64>,
    /// Since the month began.
    pub consumed: u64,
}

impl Allowance {
    /// What is left; 0 when there is no limit.
    #[must_use]
    pub fn remaining(self) -> u64 {
        self.included
            .map_or(0, |included| included.saturating_sub(self.consumed))
    }

    /// What was consumed beyond it.
    #[must_use]
    pub fn overage(self) -> u64 {
        self.included
            .map_or(0, |included| self.consumed.saturating_sub(included))
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_used_up(self) -> bool {
        self.included
            .is_some_and(|included| self.consumed >= included)
    }
}

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
    /// Media time in seconds.
    pub seconds: Allowance,
    /// What nodes receive and send.
    pub bytes: Allowance,
    /// Whether sessions begin when one of them is used up.
    pub overage_allowed: bool,
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
               p.included_bytes, p.overage_allowed,
               (SELECT count(*) FROM control.sessions s
                WHERE s.user_id = u.id AND s.state NOT IN ('draining', 'stopped')) AS "connections!",
               c.seconds AS "consumed_seconds!", c.bytes AS "consumed_bytes!"
           FROM control.users u JOIN control.plans p
             ON p.id = u.plan_id OR (u.plan_id IS NULL AND p.is_default)
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(s.published_ms - s.cycle_base_ms), 0)::bigint / 1000 AS seconds,
                   coalesce(sum(s.ingress_bytes - s.cycle_base_ingress_bytes
                       + s.egress_bytes - s.cycle_base_egress_bytes), 0)::bigint AS bytes
               FROM control.sessions s
               WHERE s.user_id = u.id AND coalesce(s.cycle_began_at, s.started_at) >= $2) c
           WHERE u.id = $1"#,
        user.as_str(),
        month_began.0
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        Ok(Standing {
            plan: row.id,
            plan_status: column("users.plan_status", &row.plan_status)?,
            plan_until: row.plan_until.map(UnixMillis),
            connections_max: number("plans.connections_max", row.connections_max)?,
            connections: number("count", row.connections)?,
            seconds: Allowance {
                included: included("plans.included_seconds", row.included_seconds)?,
                consumed: number("sessions.published_ms", row.consumed_seconds)?,
            },
            bytes: Allowance {
                included: included("plans.included_bytes", row.included_bytes)?,
                consumed: number("sessions.egress_bytes", row.consumed_bytes)?,
            },
            overage_allowed: row.overage_allowed,
        })
    })
    .transpose()
}

fn included(column: &'static str, value: Option<i64>) -> Result<Option<u64>, Error> {
    value.map(|value| number(column, value)).transpose()
}

/// What a plan includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions of one user at the same time.
    pub connections_max: u32,
    /// Media time in a calendar month, UTC; none: as much as there is.
    pub included_seconds: Option<u64>,
    /// What nodes receive and send in that time; none: as much as there is.
    pub included_bytes: Option<u64>,
    /// Whether sessions begin when one of them is used up.
    pub overage_allowed: bool,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub id: String,
    /// What it includes.
    pub limits: Limits,
    /// Whether users without a plan of their own have it.
    pub is_default: bool,
}

/// The plans, by name.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool) -> Result<Vec<Plan>, Error> {
    let rows = sqlx::query!(
        "SELECT id, connections_max, included_seconds, included_bytes, overage_allowed, is_default
         FROM control.plans ORDER BY id"
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let limits = Limits {
                connections_max: number("plans.connections_max", row.connections_max)?,
                included_seconds: included("plans.included_seconds", row.included_seconds)?,
                included_bytes: included("plans.included_bytes", row.included_bytes)?,
                overage_allowed: row.overage_allowed,
            };
            Ok(Plan {
                id: row.id,
                limits,
                is_default: row.is_default,
            })
        })
        .collect()
}

/// Makes a plan, or changes the one of that name. Which is the default stays.
///
/// # Errors
/// When the database fails.
pub async fn put(executor: impl PgExecutor<'_>, id: &str, limits: &Limits) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.plans
             (id, connections_max, included_seconds, included_bytes, overage_allowed)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET connections_max = $2, included_seconds = $3,
             included_bytes = $4, overage_allowed = $5",
        id,
        stored_count(limits.connections_max),
        limits.included_seconds.map(stored),
        limits.included_bytes.map(stored),
        limits.overage_allowed
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
