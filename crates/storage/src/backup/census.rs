//! What is in the tables: how many rows, and a checksum that does not depend on their order.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};

use super::Database;
use crate::Error;

/// What is in a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// Its name, quoted as SQL wants it.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The sum of its rows' hashes (`hashtextextended`).
    pub checksum: String,
}

impl Database {
    /// Counts what is in each table now, at one instant.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn count(&self) -> Result<Vec<TableCount>, Error> {
        let mut connection = self.connect().await?;
        let tables = tables(&mut connection).await?;
        count(&mut connection, &tables).await
    }
}

/// Every table that survives a crash; partitions are tables, what they are partitions of has no
/// rows.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT format('%I.%I', n.nspname, c.relname) AS \"it!\" \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND c.relpersistence = 'p' \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
         ORDER BY 1"
    )
    .fetch_all(connection)
    .await?)
}

pub(super) async fn count(
    connection: &mut PgConnection,
    tables: &[String],
) -> Result<Vec<TableCount>, Error> {
    let mut counts = Vec::with_capacity(tables.len());
    for table in tables {
        counts.push(count_table(connection, table).await?);
    }
    Ok(counts)
}

async fn count_table(connection: &mut PgConnection, table: &str) -> Result<TableCount, Error> {
    // The name is as the server quoted it.
    let sql = format!(
        "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text \
         FROM ONLY {table} t"
    );
    let (rows, checksum): (i64, String) = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await?;
    Ok(TableCount {
        table: table.to_owned(),
        rows: rows.unsigned_abs(),
        checksum,
    })
}
