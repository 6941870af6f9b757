//! Runs one attempt of one job and writes down how it ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::queue::{Claimed, Fence};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Core, backoff};
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::{self, Outcome};

/// How long a stopped attempt may take to reach its next await.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between attempts to write the end of an attempt.
const SETTLE_INTERVAL: Duration = Duration::from_millis(250);

/// How an attempt ended.
#[derive(Debug)]
enum End {
    Completed,
    Snoozed(Duration),
    Failed(String),
    Refused(String),
    TimedOut(Duration),
    Panicked(String),
    /// The engine stops before the job is done.
    Returned,
    /// Another attempt has the job.
    Lost,
}

type Attempt = JoinHandle<Result<Done, Failure>>;

pub(super) async fn run(core: Arc<Core>, claimed: Claimed) {
    let Some(job) = core.registry.find(&claimed.job.kind) else {
        return; // Only known kinds are claimed.
    };
    let hold = core.keeper.hold(claimed.fence());
    let started = Instant::now();
    let end = attempt(&core, job.clone(), &claimed, &hold.lost).await;
    metrics::run_ended(job.kind(), end.outcome(), started.elapsed());
    log(&claimed, &end);
    let settled = settle(&core, &claimed, job.policy(), &end).await;
    if settled && matches!(end, End::Completed) {
        metrics::succeeded(job.kind());
    }
}

/// Runs the job in a task of its own, so that a panic ends nothing else.
async fn attempt(
    core: &Core,
    job: Arc<dyn Job>,
    claimed: &Claimed,
    lost: &CancellationToken,
) -> End {
    // Its claim was under way when the engine stopped.
    if core.stopping.is_cancelled() {
        return End::Returned;
    }
    let timeout = job.policy().timeout;
    let run = match Run::new(claimed, core.stopping.clone()) {
        Ok(run) => run,
        Err(error) => return End::Refused(error.to_string()),
    };
    let mut task: Attempt = tokio::spawn(job.run(run));
    let end = tokio::select! {
        result = &mut task => return ended(result),
        () = tokio::time::sleep(timeout) => End::TimedOut(timeout),
        () = lost.cancelled() => End::Lost,
        () = core.abandon.cancelled() => End::Returned,
    };
    task.abort();
    // A second attempt must not overlap with what is left of this one.
    let _ = tokio::time::timeout(ABORT_TIMEOUT, task).await;
    end
}

fn ended(result: Result<Result<Done, Failure>, JoinError>) -> End {
    match result {
        Ok(Ok(Done::Completed)) => End::Completed,
        Ok(Ok(Done::Snooze(delay))) => End::Snoozed(delay),
        Ok(Err(Failure::Retry(error))) => End::Failed(format!("{error:#}")),
        Ok(Err(Failure::Discard(error))) => End::Refused(format!("{error:#}")),
        Err(error) => End::Panicked(panic_text(error)),
    }
}

fn panic_text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else {
        return "the task was cancelled".to_owned();
    };
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".to_owned())
}

fn log(claimed: &Claimed, end: &End) {
    let (id, kind) = (claimed.job.id.0, claimed.job.kind.as_str());
    let attempt = claimed.job.attempt;
    match end {
        End::Completed | End::Snoozed(_) | End::Returned => {
            tracing::debug!(
                job.id = id,
                job.kind = kind,
                attempt,
                outcome = end.outcome().as_str(),
                "a job's attempt ended"
            );
        }
        _ => {
            let error = end.error().unwrap_or_default();
            tracing::warn!(
                job.id = id,
                job.kind = kind,
                attempt,
                outcome = end.outcome().as_str(),
                error,
                "a job's attempt failed"
            );
        }
    }
}

/// Writes the end down. While the database is away it tries for as long as the
/// lease could have lasted; after that the job is rescued.
async fn settle(core: &Core, claimed: &Claimed, policy: Policy, end: &End) -> bool {
    let deadline = Instant::now() + core.settings.lease;
    loop {
        match write(core, claimed, policy, end).await {
            Ok(held) => {
                if !held {
                    metrics::claim_lost(core.registry.label(&claimed.job.kind));
                }
                return held;
            }
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                tokio::time::sleep(SETTLE_INTERVAL).await;
            }
            Err(error) => {
                tracing::error!(job.id = claimed.job.id.0, %error, "a job's end was not written down");
                return false;
            }
        }
    }
}

async fn write(
    core: &Core,
    claimed: &Claimed,
    policy: Policy,
    end: &End,
) -> Result<bool, storage::Error> {
    let fence = claimed.fence();
    match end {
        End::Completed => core.queue.complete(fence).await,
        End::Snoozed(delay) => core.queue.snooze(fence, *delay).await,
        End::Returned => core.queue.snooze(fence, Duration::ZERO).await,
        End::Lost => Ok(false),
        End::Refused(reason) => discard(core, claimed, fence, reason).await,
        End::Failed(_) | End::TimedOut(_) | End::Panicked(_) => {
            let error = end.error().unwrap_or_default();
            if claimed.tries >= claimed.job.attempts_max {
                let reason = format!("no attempts left; the last one: {error}");
                return discard(core, claimed, fence, &reason).await;
            }
            let delay = backoff::delay(claimed.tries, policy.backoff_max, backoff::jitter());
            core.queue.retry(fence, delay, &error).await
        }
    }
}

async fn discard(
    core: &Core,
    claimed: &Claimed,
    fence: Fence,
    reason: &str,
) -> Result<bool, storage::Error> {
    let held = core.queue.discard(fence, reason).await?;
    if held {
        metrics::discarded(core.registry.label(&claimed.job.kind));
        tracing::error!(
            job.id = fence.id.0,
            job.kind = claimed.job.kind,
            reason,
            "a job was discarded"
        );
    }
    Ok(held)
}

impl End {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Completed => Outcome::Completed,
            Self::Snoozed(_) => Outcome::Snoozed,
            Self::Failed(_) | Self::Refused(_) => Outcome::Failed,
            Self::TimedOut(_) => Outcome::TimedOut,
            Self::Panicked(_) => Outcome::Panicked,
            Self::Returned => Outcome::Returned,
            Self::Lost => Outcome::Lost,
        }
    }

    fn error(&self) -> Option<String> {
        match self {
            Self::Completed | Self::Snoozed(_) | Self::Returned => None,
            Self::Failed(error) | Self::Refused(error) => Some(error.clone()),
            Self::TimedOut(timeout) => Some(format!("timed out after {} s", timeout.as_secs_f64())),
            Self::Panicked(text) => Some(format!("panicked: {text}")),
            Self::Lost => Some("its lease ran out and another attempt has it".to_owned()),
        }
    }
}
