//! Brings the schema up to date.

use crate::{Error, Pool};

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// `undefined_table` of PostgreSQL: nobody has migrated this database yet.
const NO_TABLE: &str = "42P01";

/// Applies what is missing, under an advisory lock: any number of processes may
/// call it at once. The lock belongs to a session, so not through a proxy that lends
/// connections by the transaction: see [`check_schema`].
///
/// # Errors
/// When the database is away, a migration fails, or the database has one that
/// this binary has in another form.
pub async fn migrate(pool: &Pool) -> Result<(), Error> {
    // What bounds a service's queries does not bound a migration: it takes as long as tables are large.
    let unbound = pool.connect_options().as_ref().clone();
    let unbound = unbound.options([("statement_timeout", "0")]);
    let own = pool.options().clone().max_connections(1);
    let own = own.connect_lazy_with(unbound);
    let migrated = MIGRATOR.run(&own).await;
    own.close().await;
    Ok(migrated?)
}

/// Looks whether everything has been applied that this binary has, and applies nothing.
///
/// # Errors
/// [`Error::Outdated`] while something is missing; or when the database is away.
pub async fn check_schema(pool: &Pool) -> Result<(), Error> {
    let applied = applied(pool).await?;
    let mut known = MIGRATOR.iter().map(|migration| migration.version);
    known
        .find(|version| !applied.contains(version))
        .map_or(Ok(()), |missing| Err(Error::Outdated { missing }))
}

async fn applied(pool: &Pool) -> Result<Vec<i64>, Error> {
    let versions = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(pool)
        .await;
    match versions {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_TABLE) => {
            Ok(Vec::new())
        }
        versions => Ok(versions?),
    }
}
