//! Where tenants want to be told what their sessions do.

use model::{TenantId, UnixMillis, UserId, WebhookId};
use sqlx::PgExecutor;

use super::column;
use crate::{Error, Pool, Transaction};

/// An endpoint to be.
#[derive(Debug)]
pub struct NewWebhook<'a> {
    /// Its identifier.
    pub id: &'a WebhookId,
    /// Whose.
    pub tenant_id: &'a TenantId,
    /// Who asks for it.
    pub user_id: &'a UserId,
    /// Where.
    pub url: &'a str,
    /// Of what it is told.
    pub events: &'a [String],
    /// What it knows us by, sealed.
    pub sealed_secret: &'a [u8],
}

/// An endpoint as its tenant sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub id: WebhookId,
    /// Where.
    pub url: String,
    /// Of what it is told.
    pub events: Vec<String>,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// Makes an endpoint; says whether the tenant has at most `webhooks_max` with it.
///
/// # Errors
/// When the database fails.
pub async fn create(
    transaction: &mut Transaction,
    new: &NewWebhook<'_>,
    webhooks_max: u32,
    now: UnixMillis,
) -> Result<bool, Error> {
    sqlx::query!(
        "SELECT id FROM control.tenants WHERE id = $1 FOR NO KEY UPDATE",
        new.tenant_id.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let done = sqlx::query!(
        "INSERT INTO control.webhooks
             (id, tenant_id, user_id, url, events, sealed_secret, created_at)
         SELECT $1, $2, $3, $4, $5, $6, $7
         WHERE (SELECT count(*) FROM control.webhooks WHERE tenant_id = $2) < $8",
        new.id.as_str(),
        new.tenant_id.as_str(),
        new.user_id.as_str(),
        new.url,
        new.events,
        new.sealed_secret,
        now.0,
        i64::from(webhooks_max)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A tenant's endpoints, the oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list(executor: impl PgExecutor<'_>, tenant: &TenantId) -> Result<Vec<Webhook>, Error> {
    let rows = sqlx::query!(
        "SELECT id, url, events, created_at FROM control.webhooks
         WHERE tenant_id = $1 ORDER BY created_at, id",
        tenant.as_str()
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Webhook {
                id: column("webhooks.id", &row.id)?,
                url: row.url,
                events: row.events,
                created_at: UnixMillis(row.created_at),
            })
        })
        .collect()
}

/// Removes an endpoint of a tenant; says whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn remove(
    transaction: &mut Transaction,
    tenant: &TenantId,
    id: &WebhookId,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.webhooks WHERE tenant_id = $1 AND id = $2",
        tenant.as_str(),
        id.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Which endpoints of a tenant are told of an event.
///
/// # Errors
/// When the database fails.
pub async fn subscribed(
    transaction: &mut Transaction,
    tenant: &TenantId,
    event: &str,
) -> Result<Vec<WebhookId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM control.webhooks WHERE tenant_id = $1 AND $2 = ANY(events)",
        tenant.as_str(),
        event
    )
    .fetch_all(&mut **transaction)
    .await?;
    ids.iter().map(|id| column("webhooks.id", id)).collect()
}

/// An endpoint's URL and its sealed secret.
///
/// # Errors
/// When the database fails.
pub async fn secret(pool: &Pool, id: &WebhookId) -> Result<Option<(String, Vec<u8>)>, Error> {
    let row = sqlx::query!(
        "SELECT url, sealed_secret FROM control.webhooks WHERE id = $1",
        id.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| (row.url, row.sealed_secret)))
}
