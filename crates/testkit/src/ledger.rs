//! What background jobs did, written where it can be counted: one row an effect, and nothing
//! that would keep a second one out.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use storage::Transaction;

/// The effects of numbered jobs.
#[derive(Debug)]
pub struct Ledger {
    connection: PgConnection,
}

/// What became of the numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Numbers that had an effect.
    pub numbers: u64,
    /// Effects beyond the first of their number, in the transaction of the job's completion.
    pub fenced_repeats: u64,
    /// Effects beyond the first of their number that stood for themselves.
    pub plain_repeats: u64,
}

impl Ledger {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn create(url: &str) -> Result<Self, storage::Error> {
        let mut ledger = Self::open(url).await?;
        let table = "CREATE TABLE ledger (number bigint NOT NULL, fenced boolean NOT NULL)";
        ledger.connection.execute(table).await?;
        Ok(ledger)
    }

    /// Opens the one that is there.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open(url: &str) -> Result<Self, storage::Error> {
        let connection = PgConnection::connect(url).await?;
        Ok(Self { connection })
    }

    /// Counts.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn tally(&mut self) -> Result<Tally, storage::Error> {
        let (numbers, fenced, plain): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*), coalesce(sum(effects - 1) FILTER (WHERE fenced), 0)::bigint, \
                    coalesce(sum(effects - 1) FILTER (WHERE NOT fenced), 0)::bigint \
             FROM (SELECT number, fenced, count(*) AS effects FROM ledger GROUP BY 1, 2) AS n",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Tally {
            numbers: numbers.unsigned_abs(),
            fenced_repeats: fenced.unsigned_abs(),
            plain_repeats: plain.unsigned_abs(),
        })
    }

    /// For how long by now the lease of a running job has been over that nobody rescued.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn overdue(&mut self) -> Result<Duration, storage::Error> {
        let (seconds,): (f64,) = sqlx::query_as(
            "SELECT greatest(0, coalesce(extract(epoch FROM now() - min(locked_until)), 0))::float8 \
             FROM queue.jobs WHERE state = 'running'",
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

/// Writes an effect down, in a transaction of the caller's.
///
/// # Errors
/// When the database is away.
pub async fn record(
    transaction: &mut Transaction,
    number: i64,
    fenced: bool,
) -> Result<(), storage::Error> {
    sqlx::query("INSERT INTO ledger (number, fenced) VALUES ($1, $2)")
        .bind(number)
        .bind(fenced)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What the least that a queue must do costs on this machine: rows go into a bare table, many in
/// a statement, then are claimed and deleted as many at a time, by one connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Rows inserted a second.
    pub inserts_per_s: f64,
    /// Rows claimed and deleted a second.
    pub claims_per_s: f64,
}

impl Floor {
    /// Measures it with `rows` rows, `batch` at a time.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn measure(url: &str, rows: i32, batch: i32) -> Result<Self, storage::Error> {
        let mut connection = PgConnection::connect(url).await?;
        let table = "CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                                        kind text NOT NULL, taken boolean NOT NULL DEFAULT false)";
        connection.execute(table).await?;
        let started = std::time::Instant::now();
        let insert = format!(
            "INSERT INTO bare (kind) SELECT unnest(array_fill('noop'::text, ARRAY[{batch}]))"
        );
        for _ in 0..rows / batch {
            connection.execute(AssertSqlSafe(insert.clone())).await?;
        }
        let inserting = started.elapsed();
        let started = std::time::Instant::now();
        let claim = format!(
            "UPDATE bare SET taken = true WHERE id IN (SELECT id FROM bare WHERE NOT taken \
                 ORDER BY id LIMIT {batch} FOR UPDATE SKIP LOCKED)"
        );
        for _ in 0..rows / batch {
            connection.execute(AssertSqlSafe(claim.clone())).await?;
            connection.execute("DELETE FROM bare WHERE taken").await?;
        }
        let claiming = started.elapsed();
        connection.execute("DROP TABLE bare").await?;
        Ok(Self {
            inserts_per_s: f64::from(rows) / inserting.as_secs_f64(),
            claims_per_s: f64::from(rows) / claiming.as_secs_f64(),
        })
    }
}
