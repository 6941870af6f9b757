//! What is in the queue.

use std::collections::BTreeMap;
use std::time::Duration;

use model::JobId;
use model::job::{Job, JobState};

use super::Queue;
use super::row::{self, job_query};
use crate::Error;

/// Which jobs to list; the newest come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Only this state.
    pub state: Option<JobState>,
    /// Only this kind.
    pub kind: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// How full the queue is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs by state; a state without jobs counts zero.
    pub jobs: BTreeMap<JobState, u64>,
    /// For how long the oldest available job could have run.
    pub oldest_available_age: Duration,
}

impl Queue {
    /// Finds one job.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        let row = job_query!("SELECT", "FROM queue.jobs AS j WHERE j.id = $1", id.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(Job::try_from).transpose()
    }

    /// Lists jobs, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Job>, Error> {
        let rows = job_query!(
            "SELECT",
            "FROM queue.jobs AS j \
             WHERE ($1::text IS NULL OR j.state = $1) AND ($2::text IS NULL OR j.kind = $2) \
             ORDER BY j.id DESC LIMIT $3",
            filter.state.map(JobState::as_str),
            filter.kind,
            i64::from(filter.limit),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Counts the jobs by state and ages the oldest available one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let rows = sqlx::query!(
            "SELECT state, count(*) AS \"jobs!\", \
                    coalesce(extract(epoch FROM now() - min(run_at)), 0)::float8 AS \"age_seconds!\" \
             FROM queue.jobs GROUP BY state"
        )
        .fetch_all(&self.pool)
        .await?;
        let mut depth = Depth {
            jobs: JobState::ALL.iter().map(|state| (*state, 0)).collect(),
            ..Depth::default()
        };
        for row in rows {
            let state = row::state(&row.state)?;
            depth
                .jobs
                .insert(state, u64::try_from(row.jobs).unwrap_or(0));
            if state == JobState::Available {
                depth.oldest_available_age =
                    Duration::try_from_secs_f64(row.age_seconds).unwrap_or_default();
            }
        }
        Ok(depth)
    }
}
