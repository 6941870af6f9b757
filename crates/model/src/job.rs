//! Background jobs as the queue keeps them.

use crate::words::words;
use crate::{JobId, UnixMillis};

words! {
    /// What a job is doing.
    pub enum JobState {
        /// Waits for a worker.
        Available = "available",
        /// A worker holds it.
        Running = "running",
        /// Failed; waits for its next attempt.
        Retryable = "retryable",
        /// Waits for its time.
        Scheduled = "scheduled",
        /// Done.
        Completed = "completed",
        /// Taken back before it was done.
        Cancelled = "cancelled",
        /// Failed for good.
        Discarded = "discarded",
    }
}

/// A background job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What to run, such as `sweep_nodes`.
    pub kind: String,
    /// Whose workers run it.
    pub queue: String,
    /// 1 runs first, 4 last.
    pub priority: u8,
    /// What it is doing.
    pub state: JobState,
    /// A JSON object.
    pub arguments_json: String,
    /// Attempts begun; also the fencing token of the running one.
    pub attempt: u32,
    /// Attempts before it is discarded.
    pub attempts_max: u32,
    /// The last attempt's error.
    pub last_error: Option<String>,
    /// Not before this time.
    pub run_at: UnixMillis,
    /// When it was enqueued.
    pub created_at: UnixMillis,
    /// When its last attempt began.
    pub started_at: Option<UnixMillis>,
    /// When it completed, was cancelled or discarded.
    pub finished_at: Option<UnixMillis>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// The schedule that it was made for.
    pub schedule: Option<String>,
    /// Whether somebody wants it cancelled; its worker is being told.
    pub cancel_requested: bool,
}
