//! `streamhaul jobs`: background work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use proto::jobs as pb;
use serde_json::{Value, json};

use crate::cli::{Jobs as Command, JobsTarget};
use crate::print;
use crate::service_client::Jobs;

/// The most characters of an error in a table.
const ERROR_LENGTH_MAX: usize = 60;

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List {
            state,
            kind,
            queue,
            before,
            limit,
            target,
        } => {
            let state = state.map_or(pb::JobState::Unspecified, |state| state.0.into());
            let request = pb::ListRequest {
                state: state.into(),
                kind: kind.clone().unwrap_or_default(),
                queue: queue.clone().unwrap_or_default(),
                before_id: before.unwrap_or(0),
                limit: *limit,
            };
            list(request, target)
        }
        Command::Show { job, target } => show(*job, target),
        Command::Enqueue {
            kind,
            arguments,
            after,
            priority,
            idempotency_key,
            target,
        } => {
            let request = pb::EnqueueRequest {
                kind: kind.clone(),
                arguments_json: arguments.clone(),
                run_at_unix_ms: after.map_or(0, from_now),
                priority: priority.unwrap_or(0),
                idempotency_key: idempotency_key.clone().unwrap_or_default(),
                ..Default::default()
            };
            enqueue(request, target)
        }
        Command::Cancel { job, target } => cancel(*job, target),
        Command::Retry { job, target } => retry(*job, target),
        Command::Queues(target) => queues(target),
        Command::Pause { queue, target } => pause(queue, target),
        Command::Resume { queue, target } => resume(queue, target),
        Command::Schedules(target) => schedules(target),
        Command::Run { schedule, target } => run_schedule(schedule, target),
    }
}

fn list(request: pb::ListRequest, target: &JobsTarget) -> anyhow::Result<()> {
    let jobs = Jobs::of(target)?
        .call(async |mut client| client.list(request).await)?
        .jobs;
    if target.access.json {
        let jobs: Vec<Value> = jobs.iter().map(to_json).collect();
        print::json(&json!({"jobs": jobs}));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    let columns = [
        "job", "kind", "queue", "state", "attempt", "run at", "error",
    ];
    print::table(&columns, &rows, "no such jobs");
    Ok(())
}

fn row(job: &pb::Job) -> Vec<String> {
    let error: String = job.last_error.chars().take(ERROR_LENGTH_MAX).collect();
    vec![
        job.id.to_string(),
        job.kind.clone(),
        job.queue.clone(),
        state(job),
        format!("{}/{}", job.attempt, job.attempts_max),
        print::text(&time(job.run_at_unix_ms)),
        or_dash(error.replace(char::is_control, " ")),
    ]
}

fn show(id: i64, target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::GetRequest { id };
    let got = Jobs::of(target)?.call(async |mut client| client.get(request).await)?;
    let job = got.job.unwrap_or_default();
    if target.access.json {
        print::json(&to_json(&job));
        return Ok(());
    }
    let fields = to_json(&job);
    for (name, value) in fields.as_object().into_iter().flatten() {
        if !value.is_null() {
            print::line(&format!("{name:<17} {}", print::text(value)));
        }
    }
    Ok(())
}

fn enqueue(request: pb::EnqueueRequest, target: &JobsTarget) -> anyhow::Result<()> {
    let made = Jobs::of(target)?.call(async |mut client| client.enqueue(request).await)?;
    let job = made.job.unwrap_or_default();
    told(&job, made.created, target);
    Ok(())
}

fn run_schedule(name: &str, target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::RunScheduleRequest {
        name: name.to_owned(),
    };
    let made = Jobs::of(target)?.call(async |mut client| client.run_schedule(request).await)?;
    let job = made.job.unwrap_or_default();
    told(&job, made.created, target);
    Ok(())
}

/// Says which job there is now.
fn told(job: &pb::Job, created: bool, target: &JobsTarget) {
    if target.access.json {
        print::json(&json!({"job": to_json(job), "created": created}));
        return;
    }
    let (id, kind, state) = (job.id, &job.kind, state(job));
    print::line(&if created {
        format!("job {id} ({kind}) is {state}; `streamhaul jobs show {id}` says how it goes")
    } else {
        format!("job {id} ({kind}) is there already, and is {state}")
    });
}

fn cancel(id: i64, target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::CancelRequest { id };
    let answer = Jobs::of(target)?.call(async |mut client| client.cancel(request).await)?;
    let job = answer.job.unwrap_or_default();
    if target.access.json {
        print::json(&to_json(&job));
    } else if job.cancel_requested {
        print::line(&format!("job {id} runs; its worker is told to stop it"));
    } else {
        print::line(&format!("job {id} is {}", state(&job)));
    }
    Ok(())
}

fn retry(id: i64, target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::RetryRequest { id };
    let answer = Jobs::of(target)?.call(async |mut client| client.retry(request).await)?;
    let job = answer.job.unwrap_or_default();
    if target.access.json {
        print::json(&to_json(&job));
    } else {
        print::line(&format!("job {id} is {}", state(&job)));
    }
    Ok(())
}

fn queues(target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::ListQueuesRequest {};
    let listed = Jobs::of(target)?.call(async |mut client| client.list_queues(request).await)?;
    if target.access.json {
        let queue = |queue: &pb::Queue| {
            json!({
                "name": queue.name, "paused": queue.paused,
                "paused_at": time(queue.paused_at_unix_ms), "available": queue.available,
                "running": queue.running, "workers": queue.workers,
            })
        };
        let queues: Vec<Value> = listed.queues.iter().map(queue).collect();
        print::json(&json!({"queues": queues}));
        return Ok(());
    }
    let row = |queue: &pb::Queue| {
        let since = print::text(&time(queue.paused_at_unix_ms));
        let numbers = [queue.available, queue.running, queue.workers.into()];
        let mut row = vec![queue.name.clone()];
        row.extend(numbers.map(|number| number.to_string()));
        row.push(since);
        row
    };
    let rows: Vec<Vec<String>> = listed.queues.iter().map(row).collect();
    let columns = ["queue", "available", "running", "workers", "paused since"];
    print::table(&columns, &rows, "no queue");
    Ok(())
}

fn pause(queue: &str, target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::PauseQueueRequest {
        queue: queue.to_owned(),
    };
    let answer = Jobs::of(target)?.call(async |mut client| client.pause_queue(request).await)?;
    let hint = format!("`streamhaul jobs resume {queue}` lets it go on");
    let text = if answer.changed {
        format!("{queue} is paused; {hint}")
    } else {
        format!("{queue} was paused already; {hint}")
    };
    changed(answer.changed, &text, target);
    Ok(())
}

fn resume(queue: &str, target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::ResumeQueueRequest {
        queue: queue.to_owned(),
    };
    let answer = Jobs::of(target)?.call(async |mut client| client.resume_queue(request).await)?;
    let text = if answer.changed {
        format!("{queue} goes on")
    } else {
        format!("{queue} was not paused")
    };
    changed(answer.changed, &text, target);
    Ok(())
}

fn changed(changed: bool, text: &str, target: &JobsTarget) {
    if target.access.json {
        print::json(&json!({"changed": changed}));
    } else {
        print::line(text);
    }
}

fn schedules(target: &JobsTarget) -> anyhow::Result<()> {
    let request = pb::ListSchedulesRequest {};
    let listed = Jobs::of(target)?.call(async |mut client| client.list_schedules(request).await)?;
    let object = |schedule: &pb::Schedule| {
        json!({
            "schedule": schedule.name, "kind": schedule.kind, "cadence": schedule.cadence,
            "catch_up": schedule.catch_up, "last_slot": time(schedule.last_slot_unix_ms),
            "next_slot": time(schedule.next_slot_unix_ms),
            "last_success": time(schedule.last_success_unix_ms),
        })
    };
    let schedules: Vec<Value> = listed.schedules.iter().map(object).collect();
    if target.access.json {
        print::json(&json!({"schedules": schedules}));
        return Ok(());
    }
    let names = [
        "schedule",
        "cadence",
        "catch_up",
        "last_slot",
        "next_slot",
        "last_success",
    ];
    let row = |it: &Value| names.map(|name| print::text(&it[name])).to_vec();
    let rows: Vec<Vec<String>> = schedules.iter().map(row).collect();
    let columns = [
        "schedule",
        "cadence",
        "catch-up",
        "last slot",
        "next slot",
        "last success",
    ];
    print::table(&columns, &rows, "no schedule");
    Ok(())
}

fn to_json(job: &pb::Job) -> Value {
    let arguments: Value = serde_json::from_str(&job.arguments_json).unwrap_or_default();
    let text = |text: &String| Some(text).filter(|text| !text.is_empty()).cloned();
    json!({
        "job": job.id, "kind": job.kind, "queue": job.queue, "priority": job.priority,
        "state": state(job), "cancel_requested": job.cancel_requested, "arguments": arguments,
        "attempt": job.attempt, "attempts_max": job.attempts_max,
        "last_error": text(&job.last_error), "worker": text(&job.worker),
        "schedule": text(&job.schedule), "created_at": time(job.created_at_unix_ms),
        "run_at": time(job.run_at_unix_ms), "started_at": time(job.started_at_unix_ms),
        "finished_at": time(job.finished_at_unix_ms),
    })
}

fn state(job: &pb::Job) -> String {
    let state = model::job::JobState::try_from(job.state());
    state.map_or("unknown", |state| state.as_str()).to_owned()
}

fn time(unix_ms: i64) -> Value {
    let at = Some(unix_ms).filter(|ms| *ms != 0);
    let at = at.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or(Value::Null, |at| at.to_string().into())
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

fn from_now(after: Duration) -> i64 {
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        + after;
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}
