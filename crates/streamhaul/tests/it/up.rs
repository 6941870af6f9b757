//! Everything starts, is used, stops, and starts again with what it had.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::instance::{Instance, eventually};

#[test]
fn a_second_start_has_the_sessions_and_secrets_of_the_first() {
    let mut instance = Instance::new();
    instance.start();
    let first = told(&instance);
    let status = instance.json(&["status"]);
    assert_eq!(status["services"].as_object().unwrap().len(), 4, "{status}");
    assert_eq!(status["ready"], true, "{status}");
    let session = instance.json(&["relay", "start", "--name", "cam1"]);
    assert_eq!(session["status"], "active", "{session}");
    let port = format!("127.0.0.1:{}", instance.port_base + 6);
    for url in ["srt_publish_url", "media_source_url", "sender_url"] {
        assert!(
            session[url].as_str().unwrap().contains(&port),
            "{url} of {session}"
        );
    }
    assert_eq!(instance.stop(), Some(0));
    assert!(!instance.run_file().exists());

    instance.start();
    assert_eq!(told(&instance)["admin_token"], first["admin_token"]);
    let listed = instance.json(&["relay", "list"]);
    assert_eq!(
        listed["sessions"][0]["session_id"], session["session_id"],
        "{listed}"
    );
    assert_eq!(
        instance.json(&["nodes", "list"])["nodes"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let stopped = instance.json(&["relay", "stop", "cam1"]);
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_crash_leaves_nothing_in_the_way_of_the_next_start() {
    let mut instance = Instance::new();
    instance.start();
    instance.crash();
    assert!(!instance.ask(&["status"]).status.success());
    instance.start();
    eventually("everything is ready", || {
        instance.ask(&["status"]).status.success()
    });
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn background_work_is_looked_at_and_steered() {
    let mut instance = Instance::new();
    instance.start();
    let made = instance.json(&["jobs", "enqueue", "sweep_nodes", "--in", "10m"]);
    assert_eq!(
        (&made["created"], &made["job"]["state"]),
        (&true.into(), &"scheduled".into())
    );
    let id = made["job"]["job"].to_string();
    let cancelled = instance.json(&["jobs", "cancel", &id]);
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
    instance.json(&["jobs", "retry", &id]);
    eventually("the job is done", || {
        instance.json(&["jobs", "show", &id])["state"] == "completed"
    });
    let listed = instance.json(&[
        "jobs",
        "list",
        "--kind",
        "sweep_nodes",
        "--state",
        "completed",
    ]);
    let jobs = listed["jobs"].as_array().unwrap();
    let number = &made["job"]["job"];
    assert!(jobs.iter().any(|job| job["job"] == *number), "{listed}");

    let schedules = instance.json(&["jobs", "schedules"]);
    assert_eq!(
        schedules["schedules"][0]["cadence"], "every 5s",
        "{schedules}"
    );
    assert_eq!(
        instance.json(&["jobs", "pause", "webhooks"])["changed"],
        true
    );
    let table = instance.ask(&["jobs", "queues"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.contains("PAUSED SINCE") && table.contains("webhooks"),
        "{table}"
    );
    assert_eq!(
        instance.json(&["jobs", "resume", "webhooks"])["changed"],
        true
    );
    let unknown = instance.ask(&["jobs", "run", "brew"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        !unknown.status.success() && said.contains("there are"),
        "{said}"
    );
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn what_runs_by_itself_runs_and_finds_the_node() {
    let mut instance = Instance::new();
    instance.start();
    let schedules = || {
        let listed = instance.json(&["jobs", "schedules"]);
        listed["schedules"].as_array().unwrap().clone()
    };
    let mut names: Vec<String> = Vec::new();
    for schedule in schedules() {
        names.push(schedule["schedule"].as_str().unwrap().to_owned());
    }
    let known = [
        "buy_advice",
        "expire_bans",
        "expire_sessions",
        "expire_tokens",
        "plan_moves",
        "probe_nodes",
        "reap_provisioning",
        "reconcile_outage",
        "roll_up_usage",
        "rotate_keys",
        "settle_budgets",
        "sweep_nodes",
        "telemetry_partitions",
    ];
    for name in known {
        assert!(names.iter().any(|it| it == name), "{name} of {names:?}");
        instance.json(&["jobs", "run", name]);
    }
    for name in known {
        eventually(&format!("{name} has done its work"), || {
            let schedules = schedules();
            let mut done = schedules.iter().filter(|it| it["schedule"] == name);
            done.all(|it| !it["last_success"].is_null())
        });
    }
    // The relay was called over UDP, and refused.
    let nodes = instance.json(&["nodes", "list"]);
    let node = nodes["nodes"][0]["name"].as_str().unwrap();
    eventually("the node answers", || {
        let probe = &instance.json(&["nodes", "show", node])["probe"];
        probe["reachable"] == true && probe["rtt_ms"].as_f64().is_some_and(|rtt| rtt > 0.0)
    });
    let advice = instance.json(&["fleet", "advice"]);
    assert_eq!(
        advice["undescribed"].as_array().unwrap().len(),
        1,
        "{advice}"
    );
    let table = instance.ask(&["fleet", "advice"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("nodes budget set"), "{table}");
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_killed_database_is_started_again() {
    let mut instance = Instance::new();
    instance.start();
    let session = instance.json(&["relay", "start", "--name", "cam1"]);
    kill(postmaster(&instance), Signal::SIGKILL).unwrap();
    eventually("the session is still listed, once", || {
        let output = instance.ask(&["relay", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        listed["sessions"].as_array().is_some_and(|sessions| {
            sessions.len() == 1 && sessions[0]["session_id"] == session["session_id"]
        })
    });
    eventually("everything is ready", || {
        instance.ask(&["status"]).status.success()
    });
    assert_eq!(instance.stop(), Some(0));
}

fn told(instance: &Instance) -> Value {
    let path = instance.run_file();
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn postmaster(instance: &Instance) -> Pid {
    let file = instance.state_dir().join("postgres/postmaster.pid");
    let text = std::fs::read_to_string(file).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
}
