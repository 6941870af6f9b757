//! What an outside billing system says of tenants.
//!
//! Events come late, twice and in any order. Each is remembered by its id and counts once;
//! of a tenant's events the newest wins, by when it happened, so that every order ends the same.

use std::time::Duration;

use model::{TenantId, UnixMillis};

use super::plans::PlanStatus;
use super::{column, stored};
use crate::{Error, Pool, Transaction};

/// A tenant's plan, as it is paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The plan's name.
    pub plan: String,
    /// Whether it is paid: active, past due or canceled.
    pub status: PlanStatus,
    /// When the period that is paid for, or should be, began.
    pub period_began_at: UnixMillis,
    /// The first moment after it.
    pub period_ends_at: UnixMillis,
}

/// What happened at the billing system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id there; the same when it is told again.
    pub id: String,
    /// Of what it said.
    pub body_sha256: [u8; 32],
    /// Whose subscription.
    pub tenant_id: TenantId,
    /// When it happened.
    pub at: UnixMillis,
    /// Its place among those of one moment.
    pub sequence: u64,
    /// What the subscription is since.
    pub subscription: Subscription,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Applied,
    /// A newer one counted already.
    Superseded,
    /// It came before.
    Duplicate,
    /// Another event came by that id.
    Mismatch,
    /// There is no such tenant.
    UnknownTenant,
    /// There is no such plan.
    UnknownPlan,
}

impl Subscription {
    /// From when on the plan counts no more, if it does not count for good. What is past due
    /// counts for `patience` after `at`, what is canceled until its period is over.
    #[must_use]
    pub fn counts_until(&self, at: UnixMillis, patience: Duration) -> Option<UnixMillis> {
        match self.status {
            PlanStatus::Active | PlanStatus::Inactive => None,
            PlanStatus::PastDue => Some(at.plus(patience)),
            PlanStatus::Canceled => Some(self.period_ends_at),
        }
    }
}

/// Takes an event. Unless it is applied or superseded, the transaction should be undone.
///
/// # Errors
/// When the database fails.
pub async fn take(
    transaction: &mut Transaction,
    event: &Event,
    patience: Duration,
    now: UnixMillis,
) -> Result<Outcome, Error> {
    if !lock_tenant(transaction, &event.tenant_id).await? {
        return Ok(Outcome::UnknownTenant);
    }
    if let Some(known) = body_of(transaction, &event.id).await? {
        return Ok(if known == event.body_sha256 {
            Outcome::Duplicate
        } else {
            Outcome::Mismatch
        });
    }
    if !is_plan(transaction, &event.subscription.plan).await? {
        return Ok(Outcome::UnknownPlan);
    }
    remember(transaction, event, now).await?;
    if !put(transaction, event).await? {
        return Ok(Outcome::Superseded);
    }
    give(transaction, event, patience).await?;
    Ok(Outcome::Applied)
}

/// Two events of one tenant come one after the other.
async fn lock_tenant(transaction: &mut Transaction, tenant: &TenantId) -> Result<bool, Error> {
    let row = sqlx::query!(
        "SELECT id FROM control.tenants WHERE id = $1 FOR NO KEY UPDATE",
        tenant.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.is_some())
}

async fn body_of(transaction: &mut Transaction, event: &str) -> Result<Option<Vec<u8>>, Error> {
    let body = sqlx::query_scalar!(
        "SELECT body_sha256 FROM control.billing_events WHERE id = $1",
        event
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(body)
}

async fn is_plan(transaction: &mut Transaction, plan: &str) -> Result<bool, Error> {
    let row = sqlx::query!(
        "SELECT id FROM control.plans WHERE id = $1 FOR KEY SHARE",
        plan
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(row.is_some())
}

async fn remember(
    transaction: &mut Transaction,
    event: &Event,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.billing_events (id, tenant_id, body_sha256, received_at)
         VALUES ($1, $2, $3, $4)",
        event.id,
        event.tenant_id.as_str(),
        &event.body_sha256,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Says whether no newer event has spoken.
async fn put(transaction: &mut Transaction, event: &Event) -> Result<bool, Error> {
    let subscription = &event.subscription;
    let done = sqlx::query!(
        "INSERT INTO control.subscriptions AS known
             (tenant_id, plan_id, status, period_began_at, period_ends_at,
              event_at, event_sequence, event_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (tenant_id) DO UPDATE SET
             plan_id = excluded.plan_id, status = excluded.status,
             period_began_at = excluded.period_began_at,
             period_ends_at = excluded.period_ends_at, event_at = excluded.event_at,
             event_sequence = excluded.event_sequence, event_id = excluded.event_id
         WHERE (known.event_at, known.event_sequence, known.event_id COLLATE \"C\")
             < (excluded.event_at, excluded.event_sequence, excluded.event_id COLLATE \"C\")",
        event.tenant_id.as_str(),
        subscription.plan,
        subscription.status.as_str(),
        subscription.period_began_at.0,
        subscription.period_ends_at.0,
        event.at.0,
        stored(event.sequence),
        event.id
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the tenant's users what is paid for.
async fn give(
    transaction: &mut Transaction,
    event: &Event,
    patience: Duration,
) -> Result<(), Error> {
    let subscription = &event.subscription;
    sqlx::query!(
        "UPDATE control.users SET plan_id = $2, plan_status = $3, plan_until = $4
         WHERE tenant_id = $1",
        event.tenant_id.as_str(),
        subscription.plan,
        subscription.status.as_str(),
        subscription.counts_until(event.at, patience).map(|at| at.0)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// A tenant's subscription, if billing ever spoke of it.
///
/// # Errors
/// When the database fails.
pub async fn find(pool: &Pool, tenant: &TenantId) -> Result<Option<Subscription>, Error> {
    let row = sqlx::query!(
        "SELECT plan_id, status, period_began_at, period_ends_at
         FROM control.subscriptions WHERE tenant_id = $1",
        tenant.as_str()
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(Subscription {
            plan: row.plan_id,
            status: column("subscriptions.status", &row.status)?,
            period_began_at: UnixMillis(row.period_began_at),
            period_ends_at: UnixMillis(row.period_ends_at),
        })
    })
    .transpose()
}
