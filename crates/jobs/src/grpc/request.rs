//! What callers ask for, and every bound on it.

use std::time::Duration;

use model::JobId;
use model::UnixMillis;
use model::job::JobState;
use proto::convert::ARGUMENTS_LENGTH_MAX;
use proto::jobs as pb;
use serde_json::Value;
use service_kit::trace;
use storage::queue::{Filter, NewJob, Unique};
use tonic::Status;

use crate::engine::schedule::new_job;
use crate::job::Registry;

const KIND_LENGTH_MAX: usize = 64;
const KEY_LENGTH_MAX: usize = 200;
/// What the queue's own unique keys begin with.
const RESERVED_KEY_PREFIXES: [&str; 2] = ["schedule:", "same:"];
/// Nobody plans further ahead.
const RUN_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
const PRIORITY_MAX: u32 = 4;
const LIST_DEFAULT: u32 = 100;
const LIST_MAX: u32 = 500;

/// The job that a caller wants; `caller_trace` is what came with the call.
pub(super) fn new(
    registry: &Registry,
    request: pb::EnqueueRequest,
    now: UnixMillis,
    caller_trace: Option<&str>,
) -> Result<NewJob, Status> {
    if registry.find(&request.kind).is_none() {
        let known = registry.kinds().join(", ");
        return Err(invalid(format!(
            "kind: unknown; the known ones are {known}"
        )));
    }
    let of_kind = new_job(registry, &request.kind);
    let mut job = NewJob {
        arguments: arguments(&request.arguments_json)?,
        unique_key: unique_key(request.unique_key)?,
        run_at: run_at(request.run_at_unix_ms, now)?,
        queue: queue(request.queue)?.unwrap_or_else(|| of_kind.queue.clone()),
        priority: priority(request.priority)?.unwrap_or(of_kind.priority),
        trace_context: trace_context(&request.traceparent, caller_trace)?,
        ..of_kind
    };
    if let Some(unique) = request.unique {
        if job.unique_key.is_some() {
            return Err(invalid("unique: not together with unique_key"));
        }
        job = job.unique(uniqueness(unique), now);
    }
    match key("idempotency_key", request.idempotency_key)? {
        Some(key) => Ok(job.idempotent(&key, now)),
        None => Ok(job),
    }
}

fn uniqueness(unique: pb::Unique) -> Unique {
    let period = Duration::from_secs(unique.period_seconds.into());
    Unique {
        by_arguments: unique.by_arguments,
        period: Some(period).filter(|period| !period.is_zero()),
    }
}

/// What the caller says comes before what came with the call.
fn trace_context(given: &str, of_call: Option<&str>) -> Result<Option<String>, Status> {
    if !given.is_empty() && !trace::is_valid(given) {
        return Err(invalid("traceparent: not W3C Trace Context"));
    }
    let given = Some(given).filter(|given| !given.is_empty()).or(of_call);
    let valid = given.filter(|it| it.len() <= trace::TRACEPARENT_LENGTH_MAX && trace::is_valid(it));
    Ok(valid.map(str::to_owned).or_else(trace::current))
}

fn priority(priority: u32) -> Result<Option<u8>, Status> {
    match u8::try_from(priority) {
        Ok(0) => Ok(None),
        Ok(some) if priority <= PRIORITY_MAX => Ok(Some(some)),
        _ => Err(invalid("priority: 1, which runs first, to 4")),
    }
}

/// A queue's name, if one is given.
fn queue(name: String) -> Result<Option<String>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    queue_name(name).map(Some)
}

/// A queue's name.
pub(super) fn queue_name(name: String) -> Result<String, Status> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.is_empty() || name.len() > KIND_LENGTH_MAX || !name.chars().all(is_plain) {
        return Err(invalid("queue: 1 to 64 of a-z, 0-9, _ and -"));
    }
    Ok(name)
}

/// A job's number.
pub(super) fn id(id: i64) -> Result<JobId, Status> {
    if id <= 0 {
        return Err(invalid("id: a job's number is positive"));
    }
    Ok(JobId(id))
}

fn key(name: &str, key: String) -> Result<Option<String>, Status> {
    if key.is_empty() {
        return Ok(None);
    }
    if key.len() > KEY_LENGTH_MAX || key.contains('\0') {
        return Err(invalid(format!(
            "{name}: at most 200 bytes, without U+0000"
        )));
    }
    Ok(Some(key))
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

fn unique_key(given: String) -> Result<Option<String>, Status> {
    let given = key("unique_key", given)?;
    let reserved = |key: &str| {
        RESERVED_KEY_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
    };
    if given.as_deref().is_some_and(reserved) {
        return Err(invalid("unique_key: `schedule:` and `same:` are reserved"));
    }
    Ok(given)
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

pub(super) fn filter(request: pb::ListRequest) -> Result<Filter, Status> {
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
        queue: queue(request.queue)?,
        before: Some(request.before_id).filter(|id| *id > 0).map(JobId),
        limit,
    })
}

pub(super) fn invalid(reason: impl Into<String>) -> Status {
    Status::invalid_argument(reason)
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
            "same:sweep_nodes:any".to_owned(),
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

    #[test]
    fn queues_and_priorities_are_checked() {
        assert_eq!(queue(String::new()).unwrap(), None);
        assert_eq!(queue("web-hooks_2".into()).unwrap().unwrap(), "web-hooks_2");
        for bad in ["Über", "a b", "a\0", &"x".repeat(65)] {
            assert!(queue(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(priority(0).unwrap(), None);
        assert_eq!(priority(4).unwrap(), Some(4));
        assert!(priority(5).is_err());
        assert!(priority(257).is_err());
    }

    #[test]
    fn a_trace_is_the_callers_word_then_the_calls() {
        const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        const TWO: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_context(ONE, Some(TWO)).unwrap().as_deref(), Some(ONE));
        assert_eq!(trace_context("", Some(TWO)).unwrap().as_deref(), Some(TWO));
        assert_eq!(trace_context("", Some("nonsense")).unwrap(), None);
        assert!(trace_context("nonsense", None).is_err());
    }
}
