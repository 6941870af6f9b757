//! An instant that is a place in the log as well: what a snapshot sees at it is what a
//! recovery to that place brings back.
//!
//! The two orders differ: a transaction's end is in the log a moment before snapshots see it.
//! So the mark is set while no transaction that has written is open and nothing is being
//! written. On a server that is never that quiet, the tables are locked against writers for
//! the moment; for half a second at most, which is less than it takes PostgreSQL to look for
//! deadlocks and to call a vacuum off, and then again later.

use std::time::{Duration, Instant};

use model::UnixMillis;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::census::{self, TableCount};
use super::{Database, Lsn, lsn_column};
use crate::Error;

const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_LOCKED: Duration = Duration::from_millis(700);

/// An instant of a server, seen and held.
#[derive(Debug)]
pub struct Mark {
    /// Its place in the log.
    pub lsn: Lsn,
    /// Its time.
    pub at: UnixMillis,
    tables: Vec<String>,
    /// Its transaction sees the server as it was at the mark.
    connection: PgConnection,
}

struct Look {
    lsn: Lsn,
    at: UnixMillis,
}

impl Database {
    /// Sets a mark: waits up to `patience` for a quiet moment, then as long for locks.
    /// None: neither came.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn mark(&self, patience: Duration) -> Result<Option<Mark>, Error> {
        match self.mark_quiet(patience).await? {
            Some(mark) => Ok(Some(mark)),
            None => self.mark_locked(patience).await,
        }
    }

    async fn mark_quiet(&self, patience: Duration) -> Result<Option<Mark>, Error> {
        let deadline = Instant::now() + patience;
        let (mut outside, mut inside) = (self.connect().await?, self.connect().await?);
        while Instant::now() < deadline {
            // In this order: whoever ended before in the log has ended for snapshots too once
            // nobody is seen, and nothing was written since.
            let before = end_of_log(&mut outside).await?;
            let is_quiet = nobody_writes(&mut outside).await?;
            let look = look(&mut inside).await?;
            if is_quiet
                && look.lsn == before
                && let Some(tables) = hold_tables(&mut inside).await?
            {
                return Ok(Some(Mark::new(&look, tables, inside)));
            }
            execute(&mut inside, "ROLLBACK").await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(None)
    }

    async fn mark_locked(&self, patience: Duration) -> Result<Option<Mark>, Error> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let (mut outside, mut inside) = (self.connect().await?, self.connect().await?);
            match lock_writers_out(&mut outside).await {
                Ok(()) => {
                    let look = look(&mut inside).await?;
                    let tables = hold_tables(&mut inside).await?;
                    outside.close().await?;
                    if let Some(tables) = tables {
                        return Ok(Some(Mark::new(&look, tables, inside)));
                    }
                }
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE_LOCKED).await;
        }
        Ok(None)
    }
}

impl Mark {
    fn new(look: &Look, tables: Vec<String>, connection: PgConnection) -> Self {
        Self {
            lsn: look.lsn,
            at: look.at,
            tables,
            connection,
        }
    }

    /// Counts what was in each table at the mark.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn count(mut self) -> Result<Vec<TableCount>, Error> {
        census::count(&mut self.connection, &self.tables).await
    }
}

async fn end_of_log(connection: &mut PgConnection) -> Result<Lsn, Error> {
    let lsn = sqlx::query_scalar!("SELECT pg_current_wal_insert_lsn()::text AS \"it!\"")
        .fetch_one(connection)
        .await?;
    lsn_column("pg_current_wal_insert_lsn", &lsn)
}

/// Whether no transaction is open that has written: each locks its own number until snapshots
/// see that it has ended.
async fn nobody_writes(connection: &mut PgConnection) -> Result<bool, Error> {
    let seen = sqlx::query_scalar!(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' \
             AND mode = 'ExclusiveLock' AND granted) AS \"it!\""
    )
    .fetch_one(connection)
    .await?;
    Ok(!seen)
}

/// Takes a snapshot, and then looks where the log ends.
async fn look(connection: &mut PgConnection) -> Result<Look, Error> {
    execute(
        connection,
        "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    )
    .await?;
    let row = sqlx::query!(
        "SELECT pg_current_wal_insert_lsn()::text AS \"lsn!\", \
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS \"at!\""
    )
    .fetch_one(connection)
    .await?;
    Ok(Look {
        lsn: lsn_column("lsn", &row.lsn)?,
        at: UnixMillis(row.at),
    })
}

/// Keeps the snapshot's tables from being dropped. None: one of them was, just now.
async fn hold_tables(connection: &mut PgConnection) -> Result<Option<Vec<String>>, Error> {
    let tables = census::tables(connection).await?;
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", tables.join(", "));
    if tables.is_empty() {
        return Ok(Some(tables));
    }
    match execute(connection, &lock).await {
        Ok(()) => Ok(Some(tables)),
        Err(Error::Query(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some("42P01") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn lock_writers_out(connection: &mut PgConnection) -> Result<(), Error> {
    let tables = census::tables(connection).await?;
    execute(connection, "BEGIN").await?;
    execute(connection, "SET LOCAL statement_timeout = '500ms'").await?;
    if tables.is_empty() {
        return Ok(());
    }
    let lock = format!("LOCK TABLE {} IN SHARE MODE", tables.join(", "));
    execute(connection, &lock).await
}

/// Only for texts of ours, and names that the server quoted.
async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}
