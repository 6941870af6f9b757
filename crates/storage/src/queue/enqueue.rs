//! Jobs come in.

use model::job::Job;
use model::{JobId, UnixMillis};
use serde_json::Value;
use sqlx::PgConnection;

use super::row::{JobRow, job_query};
use super::unique::{self, Once};
use super::{Queue, wake};
use crate::{Error, Transaction};

/// Attempts before a job is discarded, unless its kind says otherwise.
pub const ATTEMPTS_MAX_DEFAULT: u32 = 25;
/// Where jobs go that are not told where.
pub const QUEUE_DEFAULT: &str = "default";
/// Of 1, which runs first, to 4.
pub const PRIORITY_DEFAULT: u8 = 2;

/// How often a unique key may change hands while one call looks.
const UNIQUE_ROUNDS_MAX: usize = 5;

/// A job to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What to run.
    pub kind: String,
    /// Whose workers run it.
    pub queue: String,
    /// 1, which runs first, to 4.
    pub priority: u8,
    /// A JSON object.
    pub arguments: Value,
    /// While a live job holds this key, no second one is made.
    pub unique_key: Option<String>,
    /// While one of these stands, no second one is made either, finished or not.
    pub once: Vec<Once>,
    /// Not before this time; `None` means now.
    pub run_at: Option<UnixMillis>,
    /// Attempts before it is discarded.
    pub attempts_max: u32,
    /// The `traceparent` to run it under.
    pub trace_context: Option<String>,
}

impl NewJob {
    /// A job of `kind` to run now, without arguments.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            queue: QUEUE_DEFAULT.to_owned(),
            priority: PRIORITY_DEFAULT,
            arguments: Value::Object(serde_json::Map::new()),
            unique_key: None,
            once: Vec::new(),
            run_at: None,
            attempts_max: ATTEMPTS_MAX_DEFAULT,
            trace_context: None,
        }
    }
}

/// What became of a job to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// It is in the queue.
    Created(Job),
    /// This job already held its key.
    Existing(Job),
}

impl Enqueued {
    /// The job, whoever made it.
    #[must_use]
    pub fn job(&self) -> &Job {
        match self {
            Self::Created(job) | Self::Existing(job) => job,
        }
    }
}

impl Queue {
    /// Puts a job into the queue, or finds the one with its key.
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
        wake::notify(transaction, &job.queue).await?;
    }
    Ok(enqueued)
}

/// Enqueues without a word to the workers.
pub(super) async fn insert_or_find(
    connection: &mut PgConnection,
    job: &NewJob,
) -> Result<Enqueued, Error> {
    let id = draw_id(connection).await?;
    if let Some(holder) = unique::take(connection, id, &job.once).await? {
        return Ok(Enqueued::Existing(holder));
    }
    for _ in 0..UNIQUE_ROUNDS_MAX {
        if let Some(row) = insert(connection, id, job).await? {
            return Ok(Enqueued::Created(row.try_into()?));
        }
        // The holder may have finished since: then the key is free again.
        if let Some(row) = find_live(connection, job.unique_key.as_deref()).await? {
            let holder: Job = row.try_into()?;
            unique::point(connection, holder.id, &job.once).await?;
            return Ok(Enqueued::Existing(holder));
        }
    }
    let value = job.unique_key.clone().unwrap_or_default();
    let column = "unique_key";
    Err(Error::Row { column, value })
}

async fn draw_id(connection: &mut PgConnection) -> Result<JobId, Error> {
    let id = sqlx::query_scalar!("SELECT nextval('queue.jobs_id_seq') AS \"id!\"")
        .fetch_one(connection)
        .await?;
    Ok(JobId(id))
}

async fn insert(
    connection: &mut PgConnection,
    id: JobId,
    job: &NewJob,
) -> Result<Option<JobRow>, Error> {
    let row = job_query!(
        "INSERT INTO queue.jobs AS j (id, kind, arguments, unique_key, attempts_max, run_at, state, \
                                      queue, priority, trace_context) \
         OVERRIDING SYSTEM VALUE \
         SELECT $1, $2, $3, $4, $5, due.at, \
                CASE WHEN due.at > now() THEN 'scheduled' ELSE 'available' END, $7, $8, $9 \
         FROM (SELECT coalesce(to_timestamp($6::bigint / 1000.0), now()) AS at) AS due \
         ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL \
             AND state IN ('available', 'running', 'retryable', 'scheduled') DO NOTHING \
         RETURNING",
        "",
        id.0,
        job.kind,
        job.arguments,
        job.unique_key,
        i32::try_from(job.attempts_max).unwrap_or(i32::MAX),
        job.run_at.map(|at| at.0),
        job.queue,
        i16::from(job.priority),
        job.trace_context,
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
