//! Runs one attempt of one job.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::queue::Claimed;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

use super::Core;
use super::keeper::Signals;
use super::settle::Ending;
use crate::job::{Done, Failure, Job, Run};
use crate::metrics::{self, Outcome};

/// How long a stopped attempt may take to reach its next await.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    Completed,
    /// Completed, and written down already.
    Settled,
    Snoozed(Duration),
    Failed(String),
    Refused(String),
    TimedOut(Duration),
    Panicked(String),
    /// Somebody cancelled the job.
    Cancelled,
    /// The engine stops before the job is done.
    Returned,
    /// Another attempt has the job.
    Lost,
}

type Attempt = JoinHandle<Result<Done, Failure>>;

pub(super) async fn run(core: Arc<Core>, claimed: Claimed, permit: OwnedSemaphorePermit) {
    let Some(job) = core.registry.find(&claimed.job.kind) else {
        return; // Only known kinds are claimed.
    };
    let hold = core.keeper.hold(claimed.fence());
    let started = Instant::now();
    let end = attempt(&core, job.clone(), &claimed, &hold.signals).await;
    metrics::run_ended(job.kind(), end.outcome(), started.elapsed());
    log(&claimed, &end);
    core.settler.settle(Ending {
        end,
        policy: job.policy(),
        kind: job.kind(),
        deadline: Instant::now() + core.settings.lease,
        claimed,
        _hold: hold,
        _permit: permit,
        _engine: core.running.token(),
    });
}

/// Runs the job in a task of its own, so that a panic ends nothing else.
async fn attempt(core: &Core, job: Arc<dyn Job>, claimed: &Claimed, signals: &Signals) -> End {
    // Its claim was under way when the engine stopped, or when somebody cancelled it.
    if core.stopping.is_cancelled() {
        return End::Returned;
    }
    if claimed.job.cancel_requested {
        return End::Cancelled;
    }
    let timeout = job.policy().timeout;
    let retention = core.settings.retention;
    let run = match Run::new(claimed, retention, core.stopping.clone()) {
        Ok(run) => run,
        Err(error) => return End::Refused(error.to_string()),
    };
    let mut task: Attempt = tokio::spawn(job.run(run).instrument(span(claimed)));
    let end = tokio::select! {
        result = &mut task => return ended(result),
        () = tokio::time::sleep(timeout) => End::TimedOut(timeout),
        () = signals.lost.cancelled() => End::Lost,
        () = signals.cancelled.cancelled() => End::Cancelled,
        () = core.abandon.cancelled() => End::Returned,
    };
    task.abort();
    // A second attempt must not overlap with what is left of this one.
    let _ = tokio::time::timeout(ABORT_TIMEOUT, task).await;
    end
}

/// The attempt in logs and traces, below the span of who enqueued the job.
fn span(claimed: &Claimed) -> tracing::Span {
    let job = &claimed.job;
    let span = tracing::info_span!("job", job.id = job.id.0, job.kind, attempt = job.attempt);
    if let Some(trace_context) = &claimed.trace_context {
        service_kit::trace::continue_from(&span, trace_context);
    }
    span
}

fn ended(result: Result<Result<Done, Failure>, JoinError>) -> End {
    match result {
        Ok(Ok(Done::Completed)) => End::Completed,
        Ok(Ok(Done::Settled)) => End::Settled,
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
    let outcome = end.outcome().as_str();
    match end.error() {
        None => {
            tracing::debug!(
                job.id = id,
                job.kind = kind,
                attempt,
                outcome,
                "a job's attempt ended"
            );
        }
        Some(error) => {
            tracing::warn!(
                job.id = id,
                job.kind = kind,
                attempt,
                outcome,
                error,
                "a job's attempt failed"
            );
        }
    }
}

impl End {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Completed | Self::Settled => Outcome::Completed,
            Self::Snoozed(_) => Outcome::Snoozed,
            Self::Failed(_) | Self::Refused(_) => Outcome::Failed,
            Self::TimedOut(_) => Outcome::TimedOut,
            Self::Panicked(_) => Outcome::Panicked,
            Self::Cancelled => Outcome::Cancelled,
            Self::Returned => Outcome::Returned,
            Self::Lost => Outcome::Lost,
        }
    }

    pub(super) fn error(&self) -> Option<String> {
        match self {
            Self::Completed
            | Self::Settled
            | Self::Snoozed(_)
            | Self::Cancelled
            | Self::Returned => None,
            Self::Failed(error) | Self::Refused(error) => Some(error.clone()),
            Self::TimedOut(timeout) => Some(format!("timed out after {} s", timeout.as_secs_f64())),
            Self::Panicked(text) => Some(format!("panicked: {text}")),
            Self::Lost => Some("its lease ran out and another attempt has it".to_owned()),
        }
    }
}
