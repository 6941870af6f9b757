//! Apps, and by what they are known.

use model::UnixMillis;
use model::app::Tier;
use serde_json::Value;
use sqlx::PgExecutor;

use super::{column, number, stored};
use crate::{Error, Pool, Transaction};

/// What is set for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What it is granted unless told otherwise below.
    pub tier: Tier,
    /// Events in a calendar month (UTC); none: any number.
    pub quota_events: Option<u64>,
    /// Events in a second on the long run; none: any number.
    pub rate_events: Option<u64>,
    /// How long events are kept, days.
    pub retention_days: u32,
    /// Networks that may send, in CIDR notation; empty: all.
    pub networks: Vec<String>,
    /// Origins whose pages may send; empty: none.
    pub origins: Vec<String>,
    /// Whether what its clients measure counts for the service level indicators.
    pub counts_for_slis: bool,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its number.
    pub id: i32,
    /// Whose it is, as its developers call themselves.
    pub org: String,
    /// What they call it.
    pub name: String,
    /// What is set for it.
    pub terms: Terms,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// Since when it may send nothing; none: it may.
    pub disabled_at: Option<UnixMillis>,
}

/// What an app is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its number.
    pub id: i64,
    /// Whose.
    pub app_id: i32,
    /// SHA-256 of the token.
    pub token_hash: Vec<u8>,
    /// What signs, sealed.
    pub sealed_secret: Vec<u8>,
    /// Since when it is there.
    pub created_at: UnixMillis,
    /// Until when it is good; none: for good.
    pub ends_at: Option<UnixMillis>,
}

/// A change of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// When.
    pub at: UnixMillis,
    /// What was done, such as `rotate`.
    pub action: String,
    /// How.
    pub details: Value,
}

/// What changes whenever an app or a credential does.
///
/// # Errors
/// When the database is away.
pub async fn revision(pool: &Pool) -> Result<i64, Error> {
    let revision = sqlx::query_scalar!("SELECT revision FROM telemetry.apps_revision");
    Ok(revision.fetch_one(pool).await?)
}

/// Makes the change of an app known to every gateway, once the transaction is committed. Changes
/// happen one after another from here on.
///
/// # Errors
/// When the database is away.
pub async fn touch(transaction: &mut Transaction) -> Result<(), Error> {
    sqlx::query!("UPDATE telemetry.apps_revision SET revision = revision + 1")
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Apps by number, after one of them, at most `limit`.
///
/// # Errors
/// When the database is away.
pub async fn list(pool: &Pool, after: i32, limit: u32) -> Result<Vec<App>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, org, name, tier, quota_events, rate_events, retention_days, networks, origins,
                counts_for_slis, created_at, disabled_at
         FROM telemetry.apps WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(App::try_from).collect()
}

/// The app of that name.
///
/// # Errors
/// When the database is away.
pub async fn find(
    executor: impl PgExecutor<'_>,
    org: &str,
    name: &str,
) -> Result<Option<App>, Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, org, name, tier, quota_events, rate_events, retention_days, networks, origins,
                counts_for_slis, created_at, disabled_at
         FROM telemetry.apps WHERE org = $1 AND name = $2",
        org,
        name
    )
    .fetch_optional(executor)
    .await?;
    row.map(App::try_from).transpose()
}

/// How many apps there are.
///
/// # Errors
/// When the database is away.
pub async fn count(transaction: &mut Transaction) -> Result<u64, Error> {
    let apps = sqlx::query_scalar!(r#"SELECT count(*) AS "apps!" FROM telemetry.apps"#)
        .fetch_one(&mut **transaction)
        .await?;
    number("count", apps)
}

/// Makes an app; its number.
///
/// # Errors
/// [`Error::Conflict`] when there is one of that name, or when the database is away.
pub async fn create(
    transaction: &mut Transaction,
    (org, name): (&str, &str),
    terms: &Terms,
    now: UnixMillis,
) -> Result<i32, Error> {
    let id = sqlx::query_scalar!(
        "INSERT INTO telemetry.apps
             (org, name, tier, quota_events, rate_events, retention_days, networks, origins, created_at,
              counts_for_slis)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
        org,
        name,
        terms.tier.as_str(),
        terms.quota_events.map(stored),
        terms.rate_events.map(stored),
        days(terms.retention_days),
        &terms.networks,
        &terms.origins,
        now.0,
        terms.counts_for_slis
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(id)
}

/// Sets what is set for an app.
///
/// # Errors
/// When the database is away.
pub async fn set_terms(
    transaction: &mut Transaction,
    app_id: i32,
    terms: &Terms,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE telemetry.apps SET tier = $2, quota_events = $3, rate_events = $4,
             retention_days = $5, networks = $6, origins = $7, counts_for_slis = $8
         WHERE id = $1",
        app_id,
        terms.tier.as_str(),
        terms.quota_events.map(stored),
        terms.rate_events.map(stored),
        days(terms.retention_days),
        &terms.networks,
        &terms.origins,
        terms.counts_for_slis
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Says since when an app may send nothing; none: it may.
///
/// # Errors
/// When the database is away.
pub async fn set_disabled(
    transaction: &mut Transaction,
    app_id: i32,
    disabled_at: Option<UnixMillis>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE telemetry.apps SET disabled_at = $2 WHERE id = $1",
        app_id,
        disabled_at.map(|at| at.0)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The credentials of one app, or of all, that are good after `now`, the newest first.
///
/// # Errors
/// When the database is away.
pub async fn credentials(
    executor: impl PgExecutor<'_>,
    app_id: Option<i32>,
    now: UnixMillis,
) -> Result<Vec<Credential>, Error> {
    let rows = sqlx::query!(
        "SELECT id, app_id, token_hash, sealed_secret, created_at, ends_at
         FROM telemetry.credentials
         WHERE ($1::integer IS NULL OR app_id = $1) AND (ends_at IS NULL OR ends_at > $2)
         ORDER BY app_id, id DESC",
        app_id,
        now.0
    )
    .fetch_all(executor)
    .await?;
    let credential = rows.into_iter().map(|row| Credential {
        id: row.id,
        app_id: row.app_id,
        token_hash: row.token_hash,
        sealed_secret: row.sealed_secret,
        created_at: UnixMillis(row.created_at),
        ends_at: row.ends_at.map(UnixMillis),
    });
    Ok(credential.collect())
}

/// Gives an app a credential.
///
/// # Errors
/// When the database is away.
pub async fn add_credential(
    transaction: &mut Transaction,
    app_id: i32,
    (token_hash, sealed_secret): (&[u8; 32], &[u8]),
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO telemetry.credentials (app_id, token_hash, sealed_secret, created_at)
         VALUES ($1, $2, $3, $4)",
        app_id,
        &token_hash[..],
        sealed_secret,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Says until when a credential is good.
///
/// # Errors
/// When the database is away.
pub async fn end_credential(
    transaction: &mut Transaction,
    id: i64,
    ends_at: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE telemetry.credentials SET ends_at = $2 WHERE id = $1",
        id,
        ends_at.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes down what was done to an app.
///
/// # Errors
/// When the database is away.
pub async fn note(
    transaction: &mut Transaction,
    app_id: i32,
    change: &Change,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO telemetry.app_changes (app_id, at, action, details) VALUES ($1, $2, $3, $4)",
        app_id,
        change.at.0,
        change.action,
        change.details
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What was done to an app, the newest first.
///
/// # Errors
/// When the database is away.
pub async fn changes(pool: &Pool, app_id: i32, limit: u32) -> Result<Vec<Change>, Error> {
    let rows = sqlx::query!(
        "SELECT at, action, details FROM telemetry.app_changes
         WHERE app_id = $1 ORDER BY id DESC LIMIT $2",
        app_id,
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    let change = rows.into_iter().map(|row| Change {
        at: UnixMillis(row.at),
        action: row.action,
        details: row.details,
    });
    Ok(change.collect())
}

/// What each app sent since a day (since 1970): its number and events.
///
/// # Errors
/// When the database is away.
pub async fn usage(pool: &Pool, since_day: i32) -> Result<Vec<(i32, u64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT app_id, sum(events)::bigint AS "events!"
           FROM telemetry.app_usage WHERE day >= $1 GROUP BY app_id"#,
        since_day
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.app_id, number("app_usage.events", row.events)?)))
        .collect()
}

struct Row {
    id: i32,
    org: String,
    name: String,
    tier: String,
    quota_events: Option<i64>,
    rate_events: Option<i64>,
    retention_days: i32,
    networks: Vec<String>,
    origins: Vec<String>,
    counts_for_slis: bool,
    created_at: i64,
    disabled_at: Option<i64>,
}

impl TryFrom<Row> for App {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let quota = row.quota_events.map(|it| number("apps.quota_events", it));
        let rate = row.rate_events.map(|it| number("apps.rate_events", it));
        Ok(Self {
            id: row.id,
            terms: Terms {
                tier: column("apps.tier", &row.tier)?,
                quota_events: quota.transpose()?,
                rate_events: rate.transpose()?,
                retention_days: number("apps.retention_days", row.retention_days)?,
                networks: row.networks,
                origins: row.origins,
                counts_for_slis: row.counts_for_slis,
            },
            org: row.org,
            name: row.name,
            created_at: UnixMillis(row.created_at),
            disabled_at: row.disabled_at.map(UnixMillis),
        })
    }
}

/// Days as PostgreSQL can keep them; what does not fit saturates.
fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}
