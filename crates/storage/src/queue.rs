//! The durable job queue: schema `queue`, owned by jobs.
//!
//! ```text
//!             ┌──────────────── give back, rescue ───────────────┐
//!             ▼                                                  │
//! enqueue ─▶ available ──claim──▶ running ──complete──▶ completed
//!    │         ▲                     │ └────discard───▶ discarded
//!    ▼         │ its time has come   │ retry, give back for later
//! scheduled ───┴───── retryable ◀────┘
//! ```
//!
//! A claim is a lease: `locked_until` says how long the worker may be silent.
//! The attempt number fences it: it grows with every claim and never shrinks, and
//! whoever extends or finishes a job must name it, so a worker that lost its lease
//! cannot touch the job that another one now runs. All times are the database's,
//! the one clock that every worker shares.
//!
//! To add an operation, add it to the file of its part of the life cycle, name
//! the fence when it acts on a running job, and test it in `tests/it/queue`.

mod claim;
mod enqueue;
mod finish;
mod report;
mod rescue;
mod row;
mod schedule;
mod trim;
mod wake;

use model::JobId;

use crate::Pool;

pub use claim::Claimed;
pub use enqueue::{ATTEMPTS_MAX_DEFAULT, Enqueued, NewJob, enqueue};
pub use report::{Depth, Filter};
pub use rescue::Rescued;
pub use schedule::{Occurrence, SlotJob};
pub use trim::Retention;
pub use wake::Wakeups;

/// The most characters of an error that the queue keeps.
pub const ERROR_LENGTH_MAX: usize = 2000;

/// The queue's operations.
#[derive(Debug, Clone)]
pub struct Queue {
    pool: Pool,
}

/// Proof of a claim: the job and the attempt that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub id: JobId,
    /// The attempt that the claim began.
    pub attempt: u32,
}

impl Queue {
    /// The queue in a migrated database.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

/// What the queue keeps of an error: bounded, and without the one character
/// that PostgreSQL cannot store.
fn kept_error(error: &str) -> String {
    error
        .chars()
        .filter(|c| *c != '\0')
        .take(ERROR_LENGTH_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_errors_are_bounded_and_storable() {
        assert_eq!(kept_error("a\0b"), "ab");
        assert_eq!(
            kept_error(&"ü".repeat(5000)).chars().count(),
            ERROR_LENGTH_MAX
        );
    }
}
