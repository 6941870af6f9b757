//! gRPC `jobs.v1`: the queue's front door. Every bound is checked here.

use model::UnixMillis;
use model::clock::Clock;
use model::job::JobState;
use proto::convert::ARGUMENTS_LENGTH_MAX;
use proto::jobs as pb;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use storage::queue::{Enqueued, Filter, NewJob, Queue};
use tonic::{Request, Response, Status};

use crate::job::Registry;

/// The largest request: arguments and some more.
pub(crate) const REQUEST_BYTES_MAX: usize = 2 * ARGUMENTS_LENGTH_MAX;

const KIND_LENGTH_MAX: usize = 64;
const UNIQUE_KEY_LENGTH_MAX: usize = 200;
/// The unique keys that schedules use.
const RESERVED_KEY_PREFIX: &str = "schedule:";
/// Nobody plans further ahead.
const RUN_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
const LIST_DEFAULT: u32 = 100;
const LIST_MAX: u32 = 500;
/// A response stays below what clients accept by default, 4 MiB.
const LIST_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The service.
pub(crate) struct Jobs {
    pub(crate) queue: Queue,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl pb::jobs_server::Jobs for Jobs {
    async fn enqueue(
        &self,
        request: Request<pb::EnqueueRequest>,
    ) -> Result<Response<pb::EnqueueResponse>, Status> {
        let job = self.checked(request.into_inner())?;
        let enqueued = self
            .queue
            .enqueue(&job)
            .await
            .map_err(|error| status(&error))?;
        let (job, created) = match enqueued {
            Enqueued::Created(job) => (job, true),
            Enqueued::Existing(job) => (job, false),
        };
        Ok(Response::new(pb::EnqueueResponse {
            job: Some(job.into()),
            created,
        }))
    }

    /// Lists the newest jobs; fewer than asked for when they would not fit into one response.
    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let filter = filter(request.into_inner())?;
        let jobs = self
            .queue
            .list(&filter)
            .await
            .map_err(|error| status(&error))?;
        let mut bytes = 0;
        let jobs = jobs.into_iter().map(pb::Job::from).take_while(|job| {
            bytes += size(job);
            bytes <= LIST_BYTES_MAX
        });
        Ok(Response::new(pb::ListResponse {
            jobs: jobs.collect(),
        }))
    }
}

impl Jobs {
    fn checked(&self, request: pb::EnqueueRequest) -> Result<NewJob, Status> {
        let Some(job) = self.registry.find(&request.kind) else {
            let known = self.registry.kinds().join(", ");
            return Err(invalid(format!(
                "kind: unknown; the known ones are {known}"
            )));
        };
        Ok(NewJob {
            arguments: arguments(&request.arguments_json)?,
            unique_key: unique_key(request.unique_key)?,
            run_at: run_at(request.run_at_unix_ms, self.clock.now())?,
            attempts_max: job.policy().attempts_max,
            ..NewJob::new(request.kind)
        })
    }
}

fn arguments(json: &str) -> Result<Value, Status> {
    if json.len() > ARGUMENTS_LENGTH_MAX {
        return Err(invalid("arguments_json: at most 64 KiB"));
    }
    if json.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value =
        serde_json::from_str(json).map_err(|error| invalid(format!("arguments_json: {error}")))?;
    match value {
        Value::Object(_) if is_storable(&value) => Ok(value),
        Value::Object(_) => Err(invalid("arguments_json: no text may hold U+0000")),
        _ => Err(invalid("arguments_json: not an object")),
    }
}

/// Whether PostgreSQL can store it. The parser bounds the depth.
fn is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(is_storable),
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| !name.contains('\0') && is_storable(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn unique_key(key: String) -> Result<Option<String>, Status> {
    if key.is_empty() {
        return Ok(None);
    }
    if key.len() > UNIQUE_KEY_LENGTH_MAX || key.contains('\0') {
        return Err(invalid("unique_key: at most 200 bytes, without U+0000"));
    }
    if key.starts_with(RESERVED_KEY_PREFIX) {
        return Err(invalid("unique_key: `schedule:` is reserved"));
    }
    Ok(Some(key))
}

fn run_at(unix_ms: i64, now: UnixMillis) -> Result<Option<UnixMillis>, Status> {
    if unix_ms == 0 {
        return Ok(None);
    }
    let at = UnixMillis(unix_ms);
    if unix_ms < 0 || at > now.plus(RUN_AHEAD_MAX) {
        return Err(invalid("run_at_unix_ms: at most a year ahead"));
    }
    // The past is now: an old time must not overtake what waits already.
    Ok(Some(at.max(now)).filter(|at| *at > now))
}

fn filter(request: pb::ListRequest) -> Result<Filter, Status> {
    let state = pb::JobState::try_from(request.state).map_err(|_| invalid("state: unknown"))?;
    let limit = match request.limit {
        0 => LIST_DEFAULT,
        limit if limit <= LIST_MAX => limit,
        _ => return Err(invalid("limit: 1 to 500")),
    };
    if request.kind.len() > KIND_LENGTH_MAX || request.kind.contains('\0') {
        return Err(invalid("kind: at most 64 bytes, without U+0000"));
    }
    Ok(Filter {
        state: JobState::try_from(state).ok(),
        kind: Some(request.kind).filter(|kind| !kind.is_empty()),
        limit,
    })
}

fn size(job: &pb::Job) -> usize {
    const FIXED: usize = 128;
    FIXED + job.kind.len() + job.arguments_json.len() + job.last_error.len()
}

fn invalid(reason: impl Into<String>) -> Status {
    Status::invalid_argument(reason)
}

/// What a caller may know of a storage error; the rest is logged.
fn status(error: &storage::Error) -> Status {
    if error.is_retryable() {
        tracing::debug!(%error, "the queue is away");
        return Status::unavailable("the queue is away; try again");
    }
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a queue operation failed"
    );
    Status::internal("the queue failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000_000_000);

    #[test]
    fn arguments_are_a_bounded_object() {
        assert_eq!(arguments("").unwrap(), serde_json::json!({}));
        assert_eq!(
            arguments(r#"{"a":[1]}"#).unwrap(),
            serde_json::json!({"a": [1]})
        );
        for bad in [
            "[]",
            "1",
            "{",
            "null",
            r#"{"a":"\u0000"}"#,
            r#"{"\u0000":1}"#,
        ] {
            assert!(arguments(bad).is_err(), "{bad}");
        }
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(ARGUMENTS_LENGTH_MAX));
        assert!(arguments(&long).is_err());
        assert!(arguments(&"[".repeat(60_000)).is_err());
    }

    #[test]
    fn unique_keys_are_bounded_and_schedules_keep_theirs() {
        assert_eq!(unique_key(String::new()).unwrap(), None);
        assert_eq!(unique_key("a".into()).unwrap().as_deref(), Some("a"));
        for bad in [
            "schedule:sweep_nodes".to_owned(),
            "x".repeat(201),
            "\0".to_owned(),
        ] {
            assert!(unique_key(bad).is_err());
        }
    }

    #[test]
    fn run_at_is_now_or_within_a_year() {
        assert_eq!(run_at(0, NOW).unwrap(), None);
        assert_eq!(run_at(5, NOW).unwrap(), None);
        let soon = NOW.plus(Duration::from_secs(1));
        assert_eq!(run_at(soon.0, NOW).unwrap(), Some(soon));
        assert!(run_at(-1, NOW).is_err());
        assert!(run_at(i64::MAX, NOW).is_err());
    }

    #[test]
    fn filters_are_bounded() {
        let all = filter(pb::ListRequest::default()).unwrap();
        assert_eq!((all.state, all.kind, all.limit), (None, None, LIST_DEFAULT));
        let many = pb::ListRequest {
            limit: LIST_MAX + 1,
            ..Default::default()
        };
        assert!(filter(many).is_err());
        let odd = pb::ListRequest {
            state: 99,
            ..Default::default()
        };
        assert!(filter(odd).is_err());
    }
}
