//! Many jobs come in at once.

use std::collections::BTreeSet;

use model::JobId;
use sqlx::PgConnection;

use super::enqueue::insert_or_find;
use super::{Enqueued, NewJob, Queue, wake};
use crate::{Error, Transaction};

/// What became of one job of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchItem {
    /// The job; of one that was there already, that one.
    pub id: JobId,
    /// Whether the batch made it.
    pub created: bool,
}

impl Queue {
    /// Puts many jobs into the queue, all or none; the answer is in their order.
    ///
    /// # Errors
    /// When the database is away or refuses one of them.
    pub async fn enqueue_many(&self, jobs: &[NewJob]) -> Result<Vec<BatchItem>, Error> {
        let mut transaction = self.pool.begin().await?;
        let items = enqueue_many(&mut transaction, jobs).await?;
        transaction.commit().await?;
        Ok(items)
    }
}

/// The same in the transaction that makes them necessary.
async fn enqueue_many(
    transaction: &mut Transaction,
    jobs: &[NewJob],
) -> Result<Vec<BatchItem>, Error> {
    let is_plain = |job: &&NewJob| job.once.is_empty() && job.unique_key.is_none();
    let plain: Vec<&NewJob> = jobs.iter().filter(is_plain).collect();
    let mut ids = insert(transaction, &plain).await?.into_iter();
    let mut items = Vec::with_capacity(jobs.len());
    for job in jobs {
        let item = if is_plain(&job) {
            let id = ids.next().ok_or(sqlx::Error::RowNotFound)?;
            BatchItem { id, created: true }
        } else {
            // Keys are looked at one by one: an earlier job of the batch may hold one.
            let enqueued = insert_or_find(transaction, job).await?;
            BatchItem {
                id: enqueued.job().id,
                created: matches!(enqueued, Enqueued::Created(_)),
            }
        };
        items.push(item);
    }
    let created = jobs.iter().zip(&items).filter(|(_, item)| item.created);
    let queues: BTreeSet<&str> = created.map(|(job, _)| job.queue.as_str()).collect();
    for queue in queues {
        wake::notify(transaction, queue).await?;
    }
    Ok(items)
}

/// Inserts jobs without keys in one statement; their ids in their order.
async fn insert(connection: &mut PgConnection, jobs: &[&NewJob]) -> Result<Vec<JobId>, Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let kinds: Vec<&str> = jobs.iter().map(|job| job.kind.as_str()).collect();
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let priorities: Vec<i16> = jobs.iter().map(|job| i16::from(job.priority)).collect();
    let arguments: Vec<String> = jobs.iter().map(|job| job.arguments.to_string()).collect();
    let attempts_max = |job: &&NewJob| i32::try_from(job.attempts_max).unwrap_or(i32::MAX);
    let attempts_max: Vec<i32> = jobs.iter().map(attempts_max).collect();
    let run_at: Vec<Option<i64>> = jobs.iter().map(|job| job.run_at.map(|at| at.0)).collect();
    let traces: Vec<Option<&str>> = jobs
        .iter()
        .map(|job| job.trace_context.as_deref())
        .collect();
    let ids = sqlx::query_scalar!(
        "WITH new AS MATERIALIZED ( \
             SELECT nextval('queue.jobs_id_seq') AS id, n.*, \
                    coalesce(to_timestamp(n.run_at_ms / 1000.0), now()) AS at \
             FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::integer[], \
                         $6::bigint[], $7::text[]) WITH ORDINALITY \
                  AS n (kind, queue, priority, arguments, attempts_max, run_at_ms, trace, ord) \
             ORDER BY n.ord), \
         made AS ( \
             INSERT INTO queue.jobs (id, kind, queue, priority, arguments, attempts_max, run_at, \
                                     trace_context, state) \
             OVERRIDING SYSTEM VALUE \
             SELECT id, kind, queue, priority, arguments::jsonb, attempts_max, at, trace, \
                    CASE WHEN at > now() THEN 'scheduled' ELSE 'available' END \
             FROM new) \
         SELECT id AS \"id!\" FROM new ORDER BY ord",
        &kinds as &[&str],
        &queues as &[&str],
        &priorities,
        &arguments,
        &attempts_max,
        &run_at as &[Option<i64>],
        &traces as &[Option<&str>],
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(JobId).collect())
}
