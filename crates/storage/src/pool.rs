//! The connections to one database.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::Error;

/// Connections to one database; cheap to clone. They come back by themselves
/// after the database was away.
pub type Pool = sqlx::PgPool;

/// How long a caller waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection older than this is renewed, so that fail-overs are noticed.
const LIFETIME_MAX: Duration = Duration::from_secs(1800);

/// No query of a service takes long; one that hangs must not hold locks for ever.
const LIMITS: [(&str, &str); 2] = [
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "30s"),
];

/// Why a database URL is no use.
#[derive(Debug, thiserror::Error)]
#[error("not a PostgreSQL URL: {0}")]
pub struct InvalidUrl(String);

/// Checks a URL without connecting.
///
/// # Errors
/// When it is not a PostgreSQL URL. The message does not repeat it: it may hold
/// a password.
pub fn check_url(url: &str) -> Result<(), InvalidUrl> {
    options("check", url).map(drop)
}

/// Checks the settings `database_url` and `database_url_file`: one of them is
/// set, and the URL is one.
///
/// # Errors
/// One sentence that names the setting, and does not repeat it.
pub fn check_settings(url: &str, file: Option<&Path>) -> Result<(), String> {
    match (url, file) {
        ("", Some(_)) => Ok(()),
        ("", None) | (_, Some(_)) => Err("set either database_url or database_url_file".to_owned()),
        (url, None) => check_url(url).map_err(|error| format!("database_url: {error}")),
    }
}

/// Makes a pool that connects on first use, so that a service can start before
/// its database. `application` names the connections in `pg_stat_activity`.
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn connect(application: &str, url: &str, connections_max: u32) -> Result<Pool, InvalidUrl> {
    let options = options(application, url)?.options(LIMITS);
    Ok(pool(options, connections_max))
}

/// The same for the queue's statements, which move many rows in a table that is empty at one
/// moment and large at the next: each is planned for the table as it is.
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn connect_queue(
    application: &str,
    url: &str,
    connections_max: u32,
) -> Result<Pool, InvalidUrl> {
    let options = options(application, url)?
        .options(LIMITS)
        .options([("plan_cache_mode", "force_custom_plan")]);
    Ok(pool(options, connections_max))
}

/// The same for writers of many rows at once: what they say is always planned the same.
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn connect_intake(
    application: &str,
    url: &str,
    connections_max: u32,
) -> Result<Pool, InvalidUrl> {
    let options = options(application, url)?
        .options(LIMITS)
        .options([("plan_cache_mode", "force_generic_plan")]);
    Ok(pool(options, connections_max))
}

/// The same for whoever asks much of many rows: a statement only reads, has `patience` and one
/// core, and is planned for what it asks.
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn connect_readers(
    application: &str,
    url: &str,
    connections_max: u32,
    patience: Duration,
) -> Result<Pool, InvalidUrl> {
    let patience = format!("{}ms", patience.as_millis());
    let options = options(application, url)?.options(LIMITS).options([
        ("statement_timeout", patience.as_str()),
        ("default_transaction_read_only", "on"),
        ("plan_cache_mode", "force_custom_plan"),
        ("max_parallel_workers_per_gather", "0"),
        ("jit", "off"),
    ]);
    Ok(pool(options, connections_max))
}

/// The same through a proxy that lends a server's connection for one transaction at a time,
/// such as pgbouncer: nothing is set when a connection begins, since it refuses what it does not
/// know. The proxy must know prepared statements, as pgbouncer does from 1.21 on with
/// `max_prepared_statements`: see [`check_proxy`].
///
/// # Errors
/// When `url` is not a PostgreSQL URL.
pub fn connect_proxied(
    application: &str,
    url: &str,
    connections_max: u32,
) -> Result<Pool, InvalidUrl> {
    let options = options(application, url)?.extra_float_digits(None);
    Ok(pool(options, connections_max))
}

/// Checks that a proxy follows prepared statements. Two connections give their statements the
/// same names; a proxy that passes names on as they are lets them meet at the server.
///
/// # Errors
/// [`Error::StatementsLost`] when they meet; or when the database is away.
pub async fn check_proxy(pool: &Pool) -> Result<(), Error> {
    let mut first = pool.acquire().await?;
    let mut second = pool.acquire().await?;
    for connection in [&mut first, &mut second] {
        sqlx::query("SELECT 1").execute(&mut **connection).await?;
    }
    Ok(())
}

fn pool(options: PgConnectOptions, connections_max: u32) -> Pool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(LIFETIME_MAX)
        .connect_lazy_with(options)
}

/// Asks the database for a sign of life.
///
/// # Errors
/// When it gives none.
pub async fn ping(pool: &Pool) -> Result<(), Error> {
    sqlx::query("SELECT 1").execute(pool).await?;
    Ok(())
}

pub(crate) fn options(application: &str, url: &str) -> Result<PgConnectOptions, InvalidUrl> {
    let options =
        PgConnectOptions::from_str(url).map_err(|error| InvalidUrl(describe(&error, url)))?;
    Ok(options.application_name(&format!("streamhaul-{application}")))
}

fn describe(error: &sqlx::Error, url: &str) -> String {
    let text = error.to_string();
    if url.is_empty() {
        "it is empty".to_owned()
    } else {
        text.replace(url, "…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_repeating_it() {
        assert!(check_url("postgres://user@localhost/name").is_ok());
        for bad in ["", "localhost secret"] {
            let text = check_url(bad).unwrap_err().to_string();
            assert!(!text.contains("secret"), "{text}");
        }
    }
    #[test]
    fn a_database_is_named_in_one_way() {
        let (url, file) = ("postgres://user@localhost/name", Path::new("/url"));
        assert_eq!(check_settings(url, None), Ok(()));
        assert_eq!(check_settings("", Some(file)), Ok(()));
        assert!(check_settings("", None).is_err());
        assert!(check_settings(url, Some(file)).is_err());
        assert!(check_settings("localhost", None).is_err());
    }
}
