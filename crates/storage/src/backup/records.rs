//! What the database remembers of its backups, for those who watch. The destinations hold the
//! truth: a database that is lost cannot say where its backups are.

use std::time::Duration;

use model::UnixMillis;

use super::Database;
use crate::{Error, Pool};

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub destination: String,
    /// When it was made.
    pub made_at: UnixMillis,
    /// How long that took.
    pub took: Duration,
    /// Its size there, in bytes.
    pub bytes: u64,
}

/// A backup that was restored and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// When.
    pub verified_at: UnixMillis,
    /// How long that took.
    pub took: Duration,
    /// How many tables were compared.
    pub tables: u64,
    /// How many rows they had.
    pub rows: u64,
}

/// What is known of a destination's backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The newest one.
    pub made: Made,
    /// The newest proof, perhaps of an older one.
    pub proof: Option<Proof>,
}

impl Database {
    /// Writes down that a backup was made.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn record_backup(&self, made: &Made) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO queue.backups (destination, id, made_at, took_ms, bytes) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (destination, id) DO UPDATE \
             SET made_at = $3, took_ms = $4, bytes = $5",
            made.destination,
            made.id,
            made.made_at.0,
            millis(made.took),
            made.bytes.cast_signed(),
        )
        .execute(&mut self.connect().await?)
        .await?;
        Ok(())
    }

    /// Writes down that a backup was found whole.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn record_proof(&self, made: &Made, proof: &Proof) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO queue.backups (destination, id, made_at, took_ms, bytes, verified_at, \
                 verify_took_ms, tables_compared, rows_compared) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (destination, id) DO UPDATE \
             SET verified_at = $6, verify_took_ms = $7, tables_compared = $8, rows_compared = $9",
            made.destination,
            made.id,
            made.made_at.0,
            millis(made.took),
            made.bytes.cast_signed(),
            proof.verified_at.0,
            millis(proof.took),
            proof.tables.cast_signed(),
            proof.rows.cast_signed(),
        )
        .execute(&mut self.connect().await?)
        .await?;
        Ok(())
    }

    /// Forgets a backup that was deleted.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_backup(&self, destination: &str, id: &str) -> Result<(), Error> {
        sqlx::query!(
            "DELETE FROM queue.backups WHERE destination = $1 AND id = $2",
            destination,
            id
        )
        .execute(&mut self.connect().await?)
        .await?;
        Ok(())
    }
}

struct Row {
    destination: String,
    id: String,
    made_at: i64,
    took_ms: i64,
    bytes: i64,
    verified_at: Option<i64>,
    verify_took_ms: Option<i64>,
    tables_compared: Option<i64>,
    rows_compared: Option<i64>,
}

/// What is known of each destination.
///
/// # Errors
/// When the database is away.
pub async fn records(pool: &Pool) -> Result<Vec<Record>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT DISTINCT ON (b.destination) b.destination, b.id, b.made_at, b.took_ms, b.bytes, \
            p.verified_at AS \"verified_at?\", p.verify_took_ms AS \"verify_took_ms?\", \
            p.tables_compared AS \"tables_compared?\", p.rows_compared AS \"rows_compared?\" \
         FROM queue.backups b LEFT JOIN LATERAL (SELECT * FROM queue.backups v \
             WHERE v.destination = b.destination AND v.verified_at IS NOT NULL \
             ORDER BY v.verified_at DESC LIMIT 1) p ON true \
         ORDER BY b.destination, b.made_at DESC"
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Record::from).collect())
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        let proof = row.verified_at.map(|verified_at| Proof {
            verified_at: UnixMillis(verified_at),
            took: duration(row.verify_took_ms.unwrap_or_default()),
            tables: row.tables_compared.unwrap_or_default().unsigned_abs(),
            rows: row.rows_compared.unwrap_or_default().unsigned_abs(),
        });
        Self {
            made: Made {
                id: row.id,
                destination: row.destination,
                made_at: UnixMillis(row.made_at),
                took: duration(row.took_ms),
                bytes: row.bytes.unsigned_abs(),
            },
            proof,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}
