//! Rows of `queue.jobs` and `queue.history` on their way to the domain's words.

use model::job::{Job, JobState};
use model::{JobId, UnixMillis};

use crate::Error;

/// A job as its queries select it.
pub(super) struct JobRow {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) priority: i16,
    pub(super) state: String,
    pub(super) arguments_json: String,
    pub(super) attempt: i32,
    pub(super) uncounted: i32,
    pub(super) attempts_max: i32,
    pub(super) last_error: Option<String>,
    pub(super) trace_context: Option<String>,
    pub(super) ready: i64,
    pub(super) worker: Option<String>,
    pub(super) schedule: Option<String>,
    pub(super) cancel_requested: bool,
    pub(super) run_at_ms: i64,
    pub(super) created_at_ms: i64,
    pub(super) started_at_ms: Option<i64>,
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
            priority: u8::try_from(row.priority).map_err(|_| Error::Row {
                column: "priority",
                value: row.priority.to_string(),
            })?,
            kind: row.kind,
            queue: row.queue,
            arguments_json: row.arguments_json,
            last_error: row.last_error,
            worker: row.worker,
            schedule: row.schedule,
            cancel_requested: row.cancel_requested,
            run_at: UnixMillis(row.run_at_ms),
            created_at: UnixMillis(row.created_at_ms),
            started_at: row.started_at_ms.map(UnixMillis),
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

/// `sqlx::query_as!` of [`JobRow`] with the columns that it needs of a live job appended.
macro_rules! job_query {
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::queue::row::JobRow,
            $head
                + " j.id, j.kind, j.queue, j.priority, j.state, \
                   j.arguments::text AS \"arguments_json!\", j.attempt, \
                   j.uncounted, j.attempts_max, j.last_error, j.trace_context, j.ready, \
                   j.locked_by AS worker, j.schedule, \
                   j.cancel_requested_at IS NOT NULL AS \"cancel_requested!\", \
                   (extract(epoch FROM j.run_at) * 1000)::bigint AS \"run_at_ms!\", \
                   (extract(epoch FROM j.created_at) * 1000)::bigint AS \"created_at_ms!\", \
                   (extract(epoch FROM j.started_at) * 1000)::bigint AS started_at_ms, \
                   (extract(epoch FROM j.finished_at) * 1000)::bigint AS finished_at_ms "
                + $tail
            $(, $argument)*
        )
    };
}

/// The same of jobs from everywhere: `all` holds live and finished ones under the live ones' names.
macro_rules! any_job_query {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::queue::row::JobRow,
            "SELECT j.id AS \"id!\", j.kind AS \"kind!\", j.queue AS \"queue!\", \
                    j.priority AS \"priority!\", j.state AS \"state!\", \
                    j.arguments::text AS \"arguments_json!\", j.attempt AS \"attempt!\", \
                    j.uncounted AS \"uncounted!\", j.attempts_max AS \"attempts_max!\", \
                    j.last_error, j.trace_context, 0::bigint AS \"ready!\", j.worker, j.schedule, \
                    j.cancel_requested AS \"cancel_requested!\", \
                    (extract(epoch FROM j.run_at) * 1000)::bigint AS \"run_at_ms!\", \
                    (extract(epoch FROM j.created_at) * 1000)::bigint AS \"created_at_ms!\", \
                    (extract(epoch FROM j.started_at) * 1000)::bigint AS started_at_ms, \
                    (extract(epoch FROM j.finished_at) * 1000)::bigint AS finished_at_ms \
             FROM ("
                + $tail
                + ") AS j ORDER BY j.id DESC"
            $(, $argument)*
        )
    };
}

/// `sqlx::$query!` that moves the jobs which `$head` deletes in its part `ended` to the history:
/// in a state, with a last error, kept for seconds. The one place that knows its columns.
macro_rules! into_history {
    ($query:ident, $head:literal, ($state:literal, $error:literal, $keep:literal), $tail:literal
     $(, $argument:expr)* $(,)?) => {
        sqlx::$query!(
            $head
                + "INSERT INTO queue.history (id, kind, queue, state, priority, arguments, attempt, \
                   uncounted, attempts_max, run_at, worker, unique_key, schedule, slot, last_error, \
                   trace_context, created_at, started_at, finished_at, keep_until) \
                   SELECT id, kind, queue, "
                + $state
                + ", priority, arguments, attempt, uncounted, attempts_max, run_at, locked_by, \
                   unique_key, schedule, slot, "
                + $error
                + ", trace_context, created_at, started_at, coalesce(finished_at, now()), \
                   now() + make_interval(secs => "
                + $keep
                + ") FROM ended"
                + $tail
            $(, $argument)*
        )
    };
}

pub(super) use {any_job_query, into_history, job_query};
