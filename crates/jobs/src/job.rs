//! What a job is to the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use storage::queue::{Claimed, Fence, PRIORITY_DEFAULT, QUEUE_DEFAULT, Retention};
use tokio_util::sync::CancellationToken;

use crate::engine::backoff::BACKOFF_MAX;

/// A kind of work. Implementations are idempotent: an attempt that was lost after
/// its effect, but before its end was written down, is followed by another.
pub trait Job: Send + Sync + 'static {
    /// Its name in the queue, in metrics and in logs.
    fn kind(&self) -> &'static str;

    /// Whose workers run it: kinds that wait for strangers have a queue of their own, so that
    /// nothing else waits with them.
    fn queue(&self) -> &'static str {
        QUEUE_DEFAULT
    }

    /// 1, which runs first, to 4.
    fn priority(&self) -> u8 {
        PRIORITY_DEFAULT
    }

    /// How its attempts are treated.
    fn policy(&self) -> Policy {
        Policy::default()
    }

    /// Makes one attempt.
    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>>;
}

/// How the attempts of a kind are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// An attempt that takes longer has failed.
    pub timeout: Duration,
    /// Attempts before a job is discarded.
    pub attempts_max: u32,
    /// The longest wait between two attempts.
    pub backoff_max: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            attempts_max: storage::queue::ATTEMPTS_MAX_DEFAULT,
            backoff_max: BACKOFF_MAX,
        }
    }
}

/// One attempt, as the job sees it.
#[derive(Debug, Clone)]
pub struct Run {
    /// A JSON object.
    pub arguments: Value,
    /// Which attempt of which job this is. Its number only grows: whoever the job acts on can
    /// refuse a lower one than it has seen, and so an attempt that was thought dead.
    pub fence: Fence,
    /// For how long it is kept when it has finished.
    pub retention: Retention,
    /// Cancelled when the service stops: long jobs should come to an end.
    pub stopping: CancellationToken,
}

impl Run {
    pub(crate) fn new(
        claimed: &Claimed,
        retention: Retention,
        stopping: CancellationToken,
    ) -> Result<Self, serde_json::Error> {
        let arguments = serde_json::from_str(&claimed.job.arguments_json)?;
        Ok(Self {
            arguments,
            fence: claimed.fence(),
            retention,
            stopping,
        })
    }
}

/// How an attempt went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// There is nothing left to do.
    Completed,
    /// The same, and the job has written that down itself in the transaction of its effect,
    /// see [`Queue::complete_with`](storage::queue::Queue::complete_with).
    Settled,
    /// Once more after this long; the attempt does not count.
    Snooze(Duration),
}

/// How an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another attempt may succeed.
    #[error("{0:#}")]
    Retry(#[from] anyhow::Error),
    /// None ever will.
    #[error("{0:#}")]
    Discard(anyhow::Error),
}

/// The kinds that this service knows.
#[derive(Clone, Default)]
pub struct Registry {
    jobs: BTreeMap<&'static str, Arc<dyn Job>>,
}

impl Registry {
    /// This registry and one more kind.
    #[must_use]
    pub fn with(mut self, job: impl Job) -> Self {
        self.jobs.insert(job.kind(), Arc::new(job));
        self
    }

    /// The job of a kind.
    #[must_use]
    pub fn find(&self, kind: &str) -> Option<Arc<dyn Job>> {
        self.jobs.get(kind).cloned()
    }

    /// Every kind, in alphabetical order.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        self.jobs.keys().map(|kind| (*kind).to_owned()).collect()
    }

    /// Every queue that a kind asks for, and the default one.
    #[must_use]
    pub fn queues(&self) -> BTreeSet<&'static str> {
        let asked = self.jobs.values().map(|job| job.queue());
        asked.chain([QUEUE_DEFAULT]).collect()
    }

    /// A kind as a metric's label: bounded, whatever the queue's rows say.
    #[must_use]
    pub fn label(&self, kind: &str) -> &'static str {
        self.jobs
            .get_key_value(kind)
            .map_or(OTHER, |(kind, _)| kind)
    }

    /// The same for a queue.
    #[must_use]
    pub fn queue_label(&self, queue: &str) -> &'static str {
        let queues = self.queues();
        queues.get(queue).copied().unwrap_or(OTHER)
    }
}

/// What this service does not know, as a metric's label.
pub(crate) const OTHER: &str = "unknown";
