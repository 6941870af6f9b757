//! What a user may do by their plan, and what they did.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{UnixMillis, UserId};
use serde::Serialize;
use storage::Transaction;
use storage::control::plans::{self, PlanStatus, Standing};
use utoipa::ToSchema;

use crate::error::{ApiError, Code};
use crate::state::App;
use crate::time::rfc3339;

const LIMIT_REACHED: &str = "connection_limit_reached";

/// Whether a user may begin sessions. Field names and words are the plugin's contract.
#[derive(Debug, Serialize, PartialEq, Eq, ToSchema)]
#[schema(as = usage::Entitlement)]
pub(crate) struct Entitlement {
    relay_access_status: &'static str,
    reason_code: &'static str,
    plan_tier: String,
    plan_status: &'static str,
    max_concurrent_conns: u32,
    active_managed_conns: u32,
}

/// Media time and bytes of this month. All are 0 but what is consumed when the plan has no
/// limit. The bytes are ours: the contract has the time.
#[derive(Debug, Serialize, PartialEq, Eq, ToSchema)]
#[schema(as = usage::Usage)]
pub(crate) struct Usage {
    included_seconds: u64,
    consumed_seconds: u64,
    remaining_seconds: u64,
    overage_seconds: u64,
    /// What nodes may receive and send.
    included_bytes: u64,
    consumed_bytes: u64,
    remaining_bytes: u64,
    overage_bytes: u64,
}

/// Usage with the plan it counts against and the time it counts in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = usage::Cycle)]
pub(crate) struct Cycle {
    plan_tier: String,
    plan_status: &'static str,
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
    Ok((entitlement(&standing, app.now()), usage(&standing)))
}

/// Whether a user may begin one session more, in the transaction that does.
pub(crate) async fn check(
    app: &App,
    transaction: &mut Transaction,
    user: &UserId,
) -> Result<(), ApiError> {
    let standing = plans::standing(&mut **transaction, user, month_began(app.now())).await?;
    let standing = standing.ok_or_else(ApiError::internal)?;
    let Some(reason) = refusal(&standing, app.now()) else {
        return Ok(());
    };
    Err(refused(reason, "the plan does not allow another session"))
}

/// Whether a user may have one stream slot more besides `slots`, in the transaction that
/// makes it: as many as the plan has connections.
pub(crate) async fn check_slots(
    app: &App,
    transaction: &mut Transaction,
    user: &UserId,
    slots: u32,
) -> Result<(), ApiError> {
    let standing = plans::standing(&mut **transaction, user, month_began(app.now())).await?;
    let standing = standing.ok_or_else(ApiError::internal)?;
    let of_slots = Standing {
        connections: slots,
        // A slot takes nothing of the month.
        overage_allowed: true,
        ..standing
    };
    let Some(reason) = refusal(&of_slots, app.now()) else {
        return Ok(());
    };
    Err(refused(reason, "the plan does not allow another slot"))
}

fn refused(reason: &'static str, message: &'static str) -> ApiError {
    let code = match reason {
        LIMIT_REACHED => Code::ConnectionLimitReached,
        _ => Code::EntitlementDenied,
    };
    ApiError::new(code, message).because(reason)
}

/// Why nothing more may begin, in the contract's words.
fn refusal(standing: &Standing, now: UnixMillis) -> Option<&'static str> {
    if !counts(standing, now) {
        Some("subscription_inactive")
    } else if standing.connections_max == 0 {
        Some("subscription_required")
    } else if is_used_up(standing) {
        // The contract has no word of its own for it.
        Some("subscription_inactive")
    } else if standing.connections >= standing.connections_max {
        Some(LIMIT_REACHED)
    } else {
        None
    }
}

/// Whether nothing is left of the month's time or bytes, and the plan allows no more.
fn is_used_up(standing: &Standing) -> bool {
    !standing.overage_allowed && (standing.seconds.is_used_up() || standing.bytes.is_used_up())
}

/// Whether the plan counts now.
fn counts(standing: &Standing, now: UnixMillis) -> bool {
    match standing.plan_status {
        PlanStatus::Active => true,
        PlanStatus::Inactive => false,
        PlanStatus::PastDue | PlanStatus::Canceled => standing.plan_until > Some(now),
    }
}

fn entitlement(standing: &Standing, now: UnixMillis) -> Entitlement {
    let refusal = refusal(standing, now);
    Entitlement {
        relay_access_status: if refusal.is_none() {
            "enabled"
        } else {
            "disabled"
        },
        reason_code: refusal.unwrap_or("ok"),
        plan_tier: standing.plan.clone(),
        plan_status: standing.plan_status.as_str(),
        max_concurrent_conns: standing.connections_max,
        active_managed_conns: standing.connections,
    }
}

fn usage(standing: &Standing) -> Usage {
    let (seconds, bytes) = (standing.seconds, standing.bytes);
    Usage {
        included_seconds: seconds.included.unwrap_or(0),
        consumed_seconds: seconds.consumed,
        remaining_seconds: seconds.remaining(),
        overage_seconds: seconds.overage(),
        included_bytes: bytes.included.unwrap_or(0),
        consumed_bytes: bytes.consumed,
        remaining_bytes: bytes.remaining(),
        overage_bytes: bytes.overage(),
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
    use storage::control::plans::Allowance;

    use super::*;

    fn standing() -> Standing {
        Standing {
            plan: "standard".to_owned(),
            plan_status: PlanStatus::Active,
            plan_until: None,
            connections_max: 2,
            connections: 1,
            seconds: Allowance {
                included: Some(100),
                consumed: 130,
            },
            bytes: Allowance {
                included: Some(1000),
                consumed: 999,
            },
            overage_allowed: true,
        }
    }

    #[test]
    fn a_plan_refuses_for_the_contracts_reasons() {
        let reason = |change: fn(&mut Standing)| {
            let mut standing = standing();
            change(&mut standing);
            let entitlement = entitlement(&standing, UnixMillis(1000));
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
            reason(|it| it.plan_status = PlanStatus::Inactive),
            ("disabled", "subscription_inactive")
        );
    }

    #[test]
    fn a_plan_that_is_not_paid_or_canceled_counts_until_its_time() {
        for status in [PlanStatus::PastDue, PlanStatus::Canceled] {
            let reason = |until| {
                let standing = Standing {
                    plan_status: status,
                    plan_until: until,
                    ..standing()
                };
                entitlement(&standing, UnixMillis(1000)).reason_code
            };
            assert_eq!(reason(Some(UnixMillis(1001))), "ok");
            assert_eq!(reason(Some(UnixMillis(1000))), "subscription_inactive");
            assert_eq!(reason(None), "subscription_inactive");
        }
    }

    #[test]
    fn a_plan_without_overage_refuses_when_its_time_or_bytes_are_used_up() {
        let reason = |seconds, bytes| {
            let mut standing = standing();
            standing.overage_allowed = false;
            standing.seconds.consumed = seconds;
            standing.bytes.consumed = bytes;
            entitlement(&standing, UnixMillis(1000)).reason_code
        };
        assert_eq!(reason(99, 999), "ok");
        assert_eq!(reason(100, 999), "subscription_inactive");
        assert_eq!(reason(99, 1000), "subscription_inactive");
    }

    #[test]
    fn usage_over_what_is_included_is_overage() {
        let over = usage(&standing());
        assert_eq!((over.remaining_seconds, over.overage_seconds), (0, 30));
        assert_eq!((over.remaining_bytes, over.overage_bytes), (1, 0));
        let endless = usage(&Standing {
            seconds: Allowance {
                included: None,
                consumed: 130,
            },
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
