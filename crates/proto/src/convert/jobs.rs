//! Jobs.

use model::job::{Job, JobState};
use model::{JobId, UnixMillis};

use super::{ARGUMENTS_LENGTH_MAX, Error, TEXT_LENGTH_MAX, invalid, text, word};
use crate::jobs as pb;

impl TryFrom<pb::Job> for Job {
    type Error = Error;

    fn try_from(job: pb::Job) -> Result<Self, Error> {
        let state =
            pb::JobState::try_from(job.state).map_err(|_| invalid("state", "unknown state"))?;
        Ok(Self {
            id: JobId(job.id),
            kind: word("kind", job.kind, TEXT_LENGTH_MAX)?,
            queue: text("queue", job.queue, TEXT_LENGTH_MAX)?,
            priority: u8::try_from(job.priority).map_err(|_| invalid("priority", "not 1 to 4"))?,
            state: state.try_into()?,
            arguments_json: text("arguments_json", job.arguments_json, ARGUMENTS_LENGTH_MAX)?,
            attempt: job.attempt,
            attempts_max: job.attempts_max,
            last_error: Some(job.last_error).filter(|error| !error.is_empty()),
            run_at: UnixMillis(job.run_at_unix_ms),
            created_at: UnixMillis(job.created_at_unix_ms),
            started_at: known(job.started_at_unix_ms),
            finished_at: known(job.finished_at_unix_ms),
            worker: Some(job.worker).filter(|worker| !worker.is_empty()),
            schedule: Some(job.schedule).filter(|schedule| !schedule.is_empty()),
            cancel_requested: job.cancel_requested,
        })
    }
}

/// A time that is 0 until there is one.
fn known(unix_ms: i64) -> Option<UnixMillis> {
    Some(unix_ms).filter(|ms| *ms != 0).map(UnixMillis)
}

impl From<Job> for pb::Job {
    fn from(job: Job) -> Self {
        Self {
            id: job.id.0,
            kind: job.kind,
            state: pb::JobState::from(job.state).into(),
            arguments_json: job.arguments_json,
            attempt: job.attempt,
            attempts_max: job.attempts_max,
            last_error: job.last_error.unwrap_or_default(),
            run_at_unix_ms: job.run_at.0,
            created_at_unix_ms: job.created_at.0,
            started_at_unix_ms: job.started_at.map_or(0, |at| at.0),
            finished_at_unix_ms: job.finished_at.map_or(0, |at| at.0),
            queue: job.queue,
            priority: job.priority.into(),
            worker: job.worker.unwrap_or_default(),
            schedule: job.schedule.unwrap_or_default(),
            cancel_requested: job.cancel_requested,
        }
    }
}

impl TryFrom<pb::JobState> for JobState {
    type Error = Error;

    fn try_from(state: pb::JobState) -> Result<Self, Error> {
        match state {
            pb::JobState::Unspecified => Err(Error::Missing("state")),
            pb::JobState::Available => Ok(Self::Available),
            pb::JobState::Running => Ok(Self::Running),
            pb::JobState::Retryable => Ok(Self::Retryable),
            pb::JobState::Scheduled => Ok(Self::Scheduled),
            pb::JobState::Completed => Ok(Self::Completed),
            pb::JobState::Cancelled => Ok(Self::Cancelled),
            pb::JobState::Discarded => Ok(Self::Discarded),
        }
    }
}

impl From<JobState> for pb::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Available => Self::Available,
            JobState::Running => Self::Running,
            JobState::Retryable => Self::Retryable,
            JobState::Scheduled => Self::Scheduled,
            JobState::Completed => Self::Completed,
            JobState::Cancelled => Self::Cancelled,
            JobState::Discarded => Self::Discarded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_back_as_it_went() {
        for state in JobState::ALL {
            let job = pb::Job {
                id: 7,
                kind: "sweep_nodes".into(),
                state: pb::JobState::from(*state).into(),
                arguments_json: "{}".into(),
                last_error: "no".into(),
                finished_at_unix_ms: 9,
                queue: "webhooks".into(),
                priority: 4,
                worker: "w".into(),
                cancel_requested: true,
                ..Default::default()
            };
            assert_eq!(pb::Job::from(Job::try_from(job.clone()).unwrap()), job);
        }
    }
}
