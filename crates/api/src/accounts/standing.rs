//! What a user may do by their plan, and what they did.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{UnixMillis, UserId};
use serde::Serialize;
use storage::Transaction;
use storage::control::plans::{self, Standing};
use utoipa::ToSchema;

use crate::error::{ApiError, Code};
use crate::state::App;
use crate::time::rfc3339;

/// Whether a user may begin sessions. Field names and words are the plugin's contract.
#[derive(Debug, Serialize, PartialEq, Eq, ToSchema)]
#[schema(as = usage::Entitlement)]
pub(crate) struct Entitlement {
    relay_access_status: &'static str,
    reason_code: &'static str,
    plan_tier: String,
    plan_status: String,
    max_concurrent_conns: u32,
    active_managed_conns: u32,
}

/// Media time of this month. All are 0 but `consumed_seconds` when the plan has no limit.
#[derive(Debug, Serialize, PartialEq, Eq, ToSchema)]
#[schema(as = usage::Usage)]
pub(crate) struct Usage {
    included_seconds: u64,
    consumed_seconds: u64,
    remaining_seconds: u64,
    overage_seconds: u64,
}

/// Usage with the plan it counts against and the time it counts in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = usage::Cycle)]
pub(crate) struct Cycle {
    plan_tier: String,
    plan_status: String,
    cycle_start: String,
    /// The first moment that belongs to the next one.
    cycle_end: String,
    #[serde(flatten)]
    usage: Usage,
}

/// A user's usage of this month.
pub(crate) async fn cycle(app: &App, user: &UserId) -> Result<Cycle, ApiError> {
    let now = app.now();
    let (entitlement, usage) = of(app, user).await?;
    Ok(Cycle {
        plan_tier: entitlement.plan_tier,
        plan_status: entitlement.plan_status,
        cycle_start: rfc3339(month_began(now)),
        cycle_end: rfc3339(month_ends(now)),
        usage,
    })
}

/// How a user stands, for them to see.
pub(crate) async fn of(app: &App, user: &UserId) -> Result<(Entitlement, Usage), ApiError> {
    let standing = plans::standing(&app.pool, user, month_began(app.now())).await?;
    let standing = standing.ok_or_else(ApiError::internal)?;
    Ok((entitlement(&standing), usage(&standing)))
}

/// Whether a user may begin one session more, in the transaction that does.
pub(crate) async fn check(
    app: &App,
    transaction: &mut Transaction,
    user: &UserId,
) -> Result<(), ApiError> {
    let standing = plans::standing(&mut **transaction, user, month_began(app.now())).await?;
    let standing = standing.ok_or_else(ApiError::internal)?;
    let code = match refusal(&standing) {
        None => return Ok(()),
        Some("connection_limit_reached") => Code::ConnectionLimitReached,
        Some(_) => Code::EntitlementDenied,
    };
    let reason = entitlement(&standing).reason_code;
    Err(ApiError::new(code, "the plan does not allow another session").because(reason))
}

/// Why no session may begin, in the contract's words.
fn refusal(standing: &Standing) -> Option<&'static str> {
    if standing.plan_status != "active" {
        Some("subscription_inactive")
    } else if standing.connections_max == 0 {
        Some("subscription_required")
    } else if standing.connections >= standing.connections_max {
        Some("connection_limit_reached")
    } else {
        None
    }
}

fn entitlement(standing: &Standing) -> Entitlement {
    let refusal = refusal(standing);
    Entitlement {
        relay_access_status: if refusal.is_none() {
            "enabled"
        } else {
            "disabled"
        },
        reason_code: refusal.unwrap_or("ok"),
        plan_tier: standing.plan.clone(),
        plan_status: standing.plan_status.clone(),
        max_concurrent_conns: standing.connections_max,
        active_managed_conns: standing.connections,
    }
}

fn usage(standing: &Standing) -> Usage {
    let consumed = standing.consumed_seconds;
    let included = standing.included_seconds;
    Usage {
        included_seconds: included.unwrap_or(0),
        consumed_seconds: consumed,
        remaining_seconds: included.map_or(0, |included| included.saturating_sub(consumed)),
        overage_seconds: included.map_or(0, |included| consumed.saturating_sub(included)),
    }
}

/// The first moment of the month, UTC.
fn month_began(now: UnixMillis) -> UnixMillis {
    let first = Timestamp::from_millisecond(now.0)
        .and_then(|now| now.to_zoned(TimeZone::UTC).first_of_month())
        .and_then(|first| first.start_of_day());
    first.map_or(now, |first| UnixMillis(first.timestamp().as_millisecond()))
}

/// The first moment of the next month, UTC.
fn month_ends(now: UnixMillis) -> UnixMillis {
    let first = Timestamp::from_millisecond(now.0)
        .and_then(|now| now.to_zoned(TimeZone::UTC).last_of_month())
        .and_then(|last| last.tomorrow())
        .and_then(|first| first.start_of_day());
    first.map_or(now, |first| UnixMillis(first.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        Standing {
            plan: "standard".to_owned(),
            plan_status: "active".to_owned(),
            connections_max: 2,
            connections: 1,
            included_seconds: Some(100),
            consumed_seconds: 130,
        }
    }

    #[test]
    fn a_plan_refuses_for_the_contracts_reasons() {
        let reason = |change: fn(&mut Standing)| {
            let mut standing = standing();
            change(&mut standing);
            let entitlement = entitlement(&standing);
            (entitlement.relay_access_status, entitlement.reason_code)
        };
        assert_eq!(reason(|_| {}), ("enabled", "ok"));
        assert_eq!(
            reason(|it| it.connections = 2),
            ("disabled", "connection_limit_reached")
        );
        assert_eq!(
            reason(|it| it.connections_max = 0),
            ("disabled", "subscription_required")
        );
        assert_eq!(
            reason(|it| it.plan_status = "inactive".to_owned()),
            ("disabled", "subscription_inactive")
        );
    }

    #[test]
    fn usage_over_what_is_included_is_overage() {
        let over = usage(&standing());
        assert_eq!((over.remaining_seconds, over.overage_seconds), (0, 30));
        let endless = usage(&Standing {
            included_seconds: None,
            ..standing()
        });
        assert_eq!(
            (endless.consumed_seconds, endless.overage_seconds),
            (130, 0)
        );
    }

    #[test]
    fn a_month_begins_on_its_first_day_and_ends_before_the_next() {
        // 2025-11-21T04:53:20Z and 2025-11-01T00:00:00Z
        let began = month_began(UnixMillis(1_763_700_800_000));
        assert_eq!(began, UnixMillis(1_761_955_200_000));
        // 2025-12-01T00:00:00Z
        let ends = month_ends(UnixMillis(1_763_700_800_000));
        assert_eq!(ends, UnixMillis(1_764_547_200_000));
    }
}
