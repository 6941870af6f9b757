//! The durable job queue: schema `queue`, owned by jobs.
//!
//! ```text
//!             ┌──────────── give back, rescue ─────────────┐
//!             ▼                                            │
//! enqueue ─▶ available ──claim──▶ running ──complete──▶ completed ┐
//!    │         ▲    │                │ ├────discard───▶ discarded  │ history
//!    ▼         │    └──── cancel ────│─┴─────────────▶ cancelled   ┘
//! scheduled ───┴───── retryable ◀────┘                   │
//!              ▲                                         │
//!              └──────────── retry by hand ──────────────┘
//! ```
//!
//! A claim is a lease: `locked_until` says how long the worker may be silent.
//! The attempt number fences it: it grows with every claim and never shrinks, and
//! whoever extends or finishes a job must name it, so a worker that lost its lease
//! cannot touch the job that another one now runs; [`Queue::complete_with`] lets an effect
//! in this database depend on it too. All times are the database's, the one clock that
//! every worker shares.
//!
//! What finished leaves the table of live jobs in the statement that finishes it, and goes to
//! a history in partitions. So the table is as small as the work that waits. Its dead rows
//! are another matter: while any transaction stays open, none of them is removed. Claims
//! therefore begin at a [`Frontier`] behind which nothing waits.
//!
//! To add an operation, add it to the file of its part of the life cycle, name
//! the fence when it acts on a running job, and test it in `tests/it/queue`.

mod batch;
mod claim;
mod enqueue;
mod finish;
mod frontier;
mod history;
mod leader;
mod operate;
mod queues;
mod report;
mod rescue;
mod row;
mod schedule;
mod unique;
mod wake;

use std::sync::Arc;

use model::clock::Clock;
use model::{JobId, UnixMillis};

use crate::Pool;

pub use batch::BatchItem;
pub use claim::{Claimed, Kept};
pub use enqueue::{
    ATTEMPTS_MAX_DEFAULT, Enqueued, NewJob, PRIORITY_DEFAULT, QUEUE_DEFAULT, enqueue,
};
pub use frontier::{Bounds, Firsts, Frontier};
pub use history::Retention;
pub use leader::Lead;
pub use operate::{Cancelled, Retried};
pub use queues::QueueState;
pub use report::{Depth, Filter, OldestTransaction};
pub use rescue::Rescued;
pub use schedule::{Occurrence, ScheduleState, SlotJob};
pub use unique::{Once, Unique};
pub use wake::{Hint, Wakeups};

/// The most characters of an error that the queue keeps.
pub const ERROR_LENGTH_MAX: usize = 2000;

/// The queue's operations.
#[derive(Clone)]
pub struct Queue {
    pool: Pool,
    /// What leaders and schedules go by instead of the database's clock.
    clock: Option<Arc<dyn Clock>>,
}

/// Proof of a claim: the job and the attempt that is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
        Self { pool, clock: None }
    }

    /// The same, but leaders and schedules go by `clock`: for tests that move it.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock: Some(clock),
            ..self
        }
    }

    /// The time to go by in milliseconds; none is the database's.
    fn own_now_ms(&self) -> Option<i64> {
        self.clock.as_ref().map(|clock| clock.now().0)
    }

    /// The database's time: the clock that all replicas share.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn now(&self) -> Result<UnixMillis, crate::Error> {
        if let Some(clock) = &self.clock {
            return Ok(clock.now());
        }
        let now_ms = sqlx::query_scalar!(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS \"now_ms!\""
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(UnixMillis(now_ms))
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
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
