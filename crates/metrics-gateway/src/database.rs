//! The database, which the gateway can do without.
//!
//! Without one configured the live view is all there is. With one, the schema is brought up to
//! date before anything is kept; while the database is away the live view goes on.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::Readiness;
use storage::Pool;
use tokio_util::sync::CancellationToken;

use crate::access::AWAY_MAX;
use crate::config::Config;
use crate::events::spool::Bridge;
use crate::metrics;

/// The part of readiness that is the database.
pub(crate) const DATABASE: &str = "database";

const INTERVAL: Duration = Duration::from_secs(2);
const MIGRATE_INTERVAL: Duration = Duration::from_secs(1);

/// The connections, if there is to be a database; none is opened yet.
pub(crate) fn open(config: &Config) -> anyhow::Result<Option<Pool>> {
    if !config.has_database() {
        tracing::info!("no database is configured: the live view only, nothing is kept");
        return Ok(None);
    }
    let url = url(config)?;
    let connections_max = config.database_connections_max;
    let pool = storage::connect("metrics-gateway", url.expose_secret(), connections_max);
    Ok(Some(pool.context("database_url")?))
}

/// The connections of those who write events.
pub(crate) fn open_intake(config: &Config) -> anyhow::Result<Pool> {
    let url = url(config)?;
    let writers = config.events.writers.into();
    let pool = storage::connect_intake("metrics-gateway", url.expose_secret(), writers);
    pool.context("database_url")
}

/// The connections of those who ask about events.
pub(crate) fn open_readers(config: &Config) -> anyhow::Result<Pool> {
    let url = url(config)?;
    let its = &config.queries;
    let (url, patience) = (url.expose_secret(), its.patience());
    let pool = storage::connect_readers("metrics-gateway", url, its.connections, patience);
    pool.context("database_url")
}

/// Where the database is, and what signs in.
fn url(config: &Config) -> Result<SecretString, service_kit::secret::Error> {
    let file = config.database_url_file.as_deref();
    service_kit::secret::read_either(&config.database_url, file)
}

/// Brings the schema up to date, for as long as it takes the database to be there. Whether
/// it is, or the service stops.
///
/// # Errors
/// When a migration fails, or the database has one that this program has in another form.
pub(crate) async fn migrated(pool: &Pool, stopping: &CancellationToken) -> anyhow::Result<bool> {
    let mut is_told = false;
    loop {
        let result = tokio::select! {
            () = stopping.cancelled() => return Ok(false),
            result = storage::migrate(pool) => result,
        };
        match result {
            Ok(()) => return Ok(true),
            Err(error) if !error.is_retryable() => return Err(error).context("migrate"),
            Err(error) if !is_told => {
                tracing::warn!(%error, "waiting for the database to migrate it");
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(false),
            () = tokio::time::sleep(MIGRATE_INTERVAL) => {}
        }
    }
}

/// Shows how the database is, until the service stops. What a spool bridges is no outage. Readers
/// are counted and not waited for: they may all be asking something long.
pub(crate) async fn watch(
    (pools, readers): (&[Pool], &[Pool]),
    bridge: Option<Bridge>,
    readiness: Readiness,
    stopping: CancellationToken,
) {
    let mut answered_at: Option<Instant> = None;
    while !stopping.is_cancelled() {
        let answer = tokio::select! {
            () = stopping.cancelled() => return,
            answer = ping(pools) => answer,
        };
        if answer.is_ok() {
            answered_at = Some(Instant::now());
        }
        let silent_for = answered_at.map(|at| at.elapsed());
        let patience = match &bridge {
            Some(is_bridged) if is_bridged() => Duration::MAX,
            _ => AWAY_MAX,
        };
        let answer = answer.map_err(|error| error.to_string());
        if let Some(state) = judge(answer, silent_for, patience) {
            readiness.set(DATABASE, state);
        }
        let all = || pools.iter().chain(readers);
        metrics::connections(all().map(Pool::size).sum(), all().map(Pool::num_idle).sum());
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn ping(pools: &[Pool]) -> Result<(), storage::Error> {
    for pool in pools {
        storage::ping(pool).await?;
    }
    Ok(())
}

/// The state to show; `None` leaves it as it is: viewers are served meanwhile.
fn judge(
    answer: Result<(), String>,
    silent_for: Option<Duration>,
    patience: Duration,
) -> Option<Result<(), String>> {
    match silent_for {
        Some(silent_for) if answer.is_err() && silent_for < patience => None,
        _ => Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_minutes_takes_no_viewers_away() {
        let away = || Err("away".to_owned());
        let judge = |answer, silent_for| judge(answer, silent_for, AWAY_MAX);
        assert_eq!(judge(Ok(()), Some(Duration::ZERO)), Some(Ok(())));
        assert_eq!(judge(away(), Some(AWAY_MAX / 2)), None);
        assert_eq!(judge(away(), Some(AWAY_MAX)), Some(away()));
        assert_eq!(judge(away(), None), Some(away()), "never seen yet");
    }
}
