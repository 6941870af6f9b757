//! Writes down how attempts ended: many completions in one statement, whatever came in while
//! the last one was under way. Nobody waits for company.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::queue::{Claimed, Fence};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::keeper::Hold;
use super::worker::End;
use super::{Core, Outage, backoff};
use crate::job::Policy;
use crate::metrics;

/// The most completions of one statement.
const BATCH_MAX: usize = 500;
/// Between attempts to write while the database is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// An attempt that ended. It keeps its claim, its place among the workers and the engine
/// itself until that is written down.
pub(super) struct Ending {
    pub(super) claimed: Claimed,
    pub(super) end: End,
    pub(super) policy: Policy,
    pub(super) kind: &'static str,
    /// When trying to write it is given up: by then the job is rescued.
    pub(super) deadline: Instant,
    pub(super) _hold: Hold,
    pub(super) _permit: OwnedSemaphorePermit,
    pub(super) _engine: TaskTrackerToken,
}

/// Where workers leave their endings; there are never more than workers.
pub(super) struct Settler {
    sender: mpsc::UnboundedSender<Ending>,
}

pub(super) type Endings = mpsc::UnboundedReceiver<Ending>;

pub(super) fn channel() -> (Settler, Endings) {
    let (sender, endings) = mpsc::unbounded_channel();
    (Settler { sender }, endings)
}

impl Settler {
    pub(super) fn settle(&self, ending: Ending) {
        // Refused only after the end of the engine, which waits for its workers first.
        let _ = self.sender.send(ending);
    }
}

pub(super) async fn run(core: Arc<Core>, mut endings: Endings) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut outage = Outage::new("writing down how attempts ended");
    loop {
        tokio::select! {
            biased;
            count = endings.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
            () = core.ended.cancelled() => return,
        }
        while !batch.is_empty() {
            batch = settle(&core, batch, &mut outage).await;
        }
    }
}

/// Writes endings down; returns those that should be tried again.
async fn settle(core: &Core, batch: Vec<Ending>, outage: &mut Outage) -> Vec<Ending> {
    let is_completed = |ending: &Ending| matches!(ending.end, End::Completed);
    let (completed, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_completed);
    let mut left = complete(core, completed, outage).await;
    for ending in others {
        left.extend(settle_one(core, ending, outage).await);
    }
    if !left.is_empty() {
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    left
}

async fn complete(core: &Core, completed: Vec<Ending>, outage: &mut Outage) -> Vec<Ending> {
    if completed.is_empty() {
        return completed;
    }
    let fences: Vec<Fence> = completed
        .iter()
        .map(|ending| ending.claimed.fence())
        .collect();
    let written = core
        .queue
        .complete_many(&fences, core.settings.retention)
        .await;
    let error = match &written {
        Ok(held) => {
            for ending in &completed {
                ending.settled(held.contains(&ending.claimed.job.id));
            }
            outage.note(written);
            return Vec::new();
        }
        Err(error) if error.is_retryable() => error.to_string(),
        Err(error) => {
            let job_ids: Vec<i64> = fences.iter().map(|fence| fence.id.0).collect();
            tracing::error!(?job_ids, %error, "the ends of jobs were not written down");
            return Vec::new();
        }
    };
    outage.note(Err::<(), _>(error));
    in_time(completed)
}

async fn settle_one(core: &Core, ending: Ending, outage: &mut Outage) -> Option<Ending> {
    match write(core, &ending).await {
        Ok(held) => {
            ending.settled(held);
            outage.note(Ok::<(), String>(()));
            None
        }
        Err(error) if error.is_retryable() => {
            outage.note(Err::<(), _>(error));
            in_time(vec![ending]).pop()
        }
        Err(error) => {
            let id = ending.claimed.job.id.0;
            tracing::error!(job.id = id, %error, "a job's end was not written down");
            None
        }
    }
}

/// Those whose claim may still hold.
fn in_time(endings: Vec<Ending>) -> Vec<Ending> {
    let now = Instant::now();
    endings
        .into_iter()
        .filter(|ending| now < ending.deadline)
        .collect()
}

async fn write(core: &Core, ending: &Ending) -> Result<bool, storage::Error> {
    let (claimed, fence) = (&ending.claimed, ending.claimed.fence());
    let retention = core.settings.retention;
    match &ending.end {
        End::Completed => core.queue.complete(fence, retention).await,
        End::Settled => Ok(true),
        End::Snoozed(delay) => core.queue.snooze(fence, *delay).await,
        End::Returned => core.queue.snooze(fence, Duration::ZERO).await,
        End::Cancelled => core.queue.cancel_running(fence, retention).await,
        End::Lost => Ok(false),
        End::Refused(reason) => discard(core, ending, reason).await,
        End::Failed(_) | End::TimedOut(_) | End::Panicked(_) => {
            let error = ending.end.error().unwrap_or_default();
            if claimed.tries >= claimed.job.attempts_max {
                let reason = format!("no attempts left; the last one: {error}");
                return discard(core, ending, &reason).await;
            }
            let max = ending.policy.backoff_max;
            let delay = backoff::delay(claimed.tries, max, backoff::jitter());
            core.queue.retry(fence, delay, &error).await
        }
    }
}

async fn discard(core: &Core, ending: &Ending, reason: &str) -> Result<bool, storage::Error> {
    let fence = ending.claimed.fence();
    let retention = core.settings.retention;
    let held = core.queue.discard(fence, reason, retention).await?;
    if held {
        metrics::discarded(ending.kind);
        tracing::error!(
            job.id = fence.id.0,
            job.kind = ending.kind,
            reason,
            "a job was discarded"
        );
    }
    Ok(held)
}

impl Ending {
    fn settled(&self, held: bool) {
        if !held {
            metrics::claim_lost(self.kind);
        }
    }
}
