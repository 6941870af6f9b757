//! Brings the schema up to date.

use crate::{Error, Pool};

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Applies what is missing, under an advisory lock: any number of processes may
/// call it at once.
///
/// # Errors
/// When the database is away, a migration fails, or the database has one that
/// this binary has in another form.
pub async fn migrate(pool: &Pool) -> Result<(), Error> {
    Ok(MIGRATOR.run(pool).await?)
}
