//! Rows of `queue.jobs` on their way to the domain's words.

use model::job::{Job, JobState};
use model::{JobId, UnixMillis};

use crate::Error;

/// A job as its queries select it.
pub(super) struct JobRow {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) arguments_json: String,
    pub(super) attempt: i32,
    pub(super) uncounted: i32,
    pub(super) attempts_max: i32,
    pub(super) last_error: Option<String>,
    pub(super) run_at_ms: i64,
    pub(super) created_at_ms: i64,
    pub(super) finished_at_ms: Option<i64>,
}

impl JobRow {
    /// Attempts that count against the maximum.
    pub(super) fn tries(&self) -> Result<u32, Error> {
        natural(self.attempt - self.uncounted)
    }
}

impl TryFrom<JobRow> for Job {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        Ok(Self {
            id: JobId(row.id),
            state: state(&row.state)?,
            attempt: natural(row.attempt)?,
            attempts_max: natural(row.attempts_max)?,
            kind: row.kind,
            arguments_json: row.arguments_json,
            last_error: row.last_error,
            run_at: UnixMillis(row.run_at_ms),
            created_at: UnixMillis(row.created_at_ms),
            finished_at: row.finished_at_ms.map(UnixMillis),
        })
    }
}

pub(super) fn state(word: &str) -> Result<JobState, Error> {
    word.parse().map_err(|_| Error::Row {
        column: "state",
        value: word.to_owned(),
    })
}

fn natural(number: i32) -> Result<u32, Error> {
    u32::try_from(number).map_err(|_| Error::Row {
        column: "attempt",
        value: number.to_string(),
    })
}

/// `sqlx::query_as!` of [`JobRow`] with the columns that it needs appended.
macro_rules! job_query {
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::queue::row::JobRow,
            $head
                + " j.id, j.kind, j.state, j.arguments::text AS \"arguments_json!\", j.attempt, \
                   j.uncounted, j.attempts_max, j.last_error, \
                   (extract(epoch FROM j.run_at) * 1000)::bigint AS \"run_at_ms!\", \
                   (extract(epoch FROM j.created_at) * 1000)::bigint AS \"created_at_ms!\", \
                   (extract(epoch FROM j.finished_at) * 1000)::bigint AS finished_at_ms "
                + $tail
            $(, $argument)*
        )
    };
}

pub(super) use job_query;
