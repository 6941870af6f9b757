//! Jobs come in.

use model::UnixMillis;
use model::job::Job;
use serde_json::Value;
use sqlx::PgConnection;

use super::row::{JobRow, job_query};
use super::{Queue, wake};
use crate::{Error, Transaction};

/// Attempts before a job is discarded, unless its kind says otherwise.
pub const ATTEMPTS_MAX_DEFAULT: u32 = 25;

/// How often a unique key may change hands while one call looks.
const UNIQUE_ROUNDS_MAX: usize = 5;

/// A job to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What to run.
    pub kind: String,
    /// A JSON object.
    pub arguments: Value,
    /// While a live job holds this key, no second one is made.
    pub unique_key: Option<String>,
    /// Not before this time; `None` means now.
    pub run_at: Option<UnixMillis>,
    /// Attempts before it is discarded.
    pub attempts_max: u32,
}

impl NewJob {
    /// A job of `kind` to run now, without arguments.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            arguments: Value::Object(serde_json::Map::new()),
            unique_key: None,
            run_at: None,
            attempts_max: ATTEMPTS_MAX_DEFAULT,
        }
    }
}

/// What became of a job to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// It is in the queue.
    Created(Job),
    /// This live job already held its unique key.
    Existing(Job),
}

impl Queue {
    /// Puts a job into the queue, or finds the live one with its unique key.
    ///
    /// # Errors
    /// When the database is away or refuses the job.
    pub async fn enqueue(&self, job: &NewJob) -> Result<Enqueued, Error> {
        let mut transaction = self.pool.begin().await?;
        let enqueued = enqueue(&mut transaction, job).await?;
        transaction.commit().await?;
        Ok(enqueued)
    }
}

/// Puts a job into the queue in the transaction that makes it necessary: it is there, and
/// found, if and when that commits.
///
/// # Errors
/// When the database is away or refuses the job.
pub async fn enqueue(transaction: &mut Transaction, job: &NewJob) -> Result<Enqueued, Error> {
    let enqueued = insert_or_find(transaction, job).await?;
    if matches!(enqueued, Enqueued::Created(_)) {
        wake::notify(transaction).await?;
    }
    Ok(enqueued)
}

async fn insert_or_find(connection: &mut PgConnection, job: &NewJob) -> Result<Enqueued, Error> {
    for _ in 0..UNIQUE_ROUNDS_MAX {
        if let Some(row) = insert(connection, job).await? {
            return Ok(Enqueued::Created(row.try_into()?));
        }
        // The holder may have finished since: then the key is free again.
        if let Some(row) = find_live(connection, job.unique_key.as_deref()).await? {
            return Ok(Enqueued::Existing(row.try_into()?));
        }
    }
    let value = job.unique_key.clone().unwrap_or_default();
    let column = "unique_key";
    Err(Error::Row { column, value })
}

async fn insert(connection: &mut PgConnection, job: &NewJob) -> Result<Option<JobRow>, Error> {
    let row = job_query!(
        "INSERT INTO queue.jobs AS j (kind, arguments, unique_key, attempts_max, run_at, state) \
         SELECT $1, $2, $3, $4, due.at, \
                CASE WHEN due.at > now() THEN 'scheduled' ELSE 'available' END \
         FROM (SELECT coalesce(to_timestamp($5::bigint / 1000.0), now()) AS at) AS due \
         ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL \
             AND state IN ('available', 'running', 'retryable', 'scheduled') DO NOTHING \
         RETURNING",
        "",
        job.kind,
        job.arguments,
        job.unique_key,
        i32::try_from(job.attempts_max).unwrap_or(i32::MAX),
        job.run_at.map(|at| at.0),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

async fn find_live(
    connection: &mut PgConnection,
    unique_key: Option<&str>,
) -> Result<Option<JobRow>, Error> {
    let row = job_query!(
        "SELECT",
        "FROM queue.jobs AS j WHERE j.unique_key = $1 \
         AND j.state IN ('available', 'running', 'retryable', 'scheduled')",
        unique_key,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}
