//! `streamhaul status`: whether a running instance is well.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::cli::Target;
use crate::client::{self, Client};
use crate::print;
use crate::run_file::{Admin, RunFile};
use crate::state_dir::StateDir;

pub(super) fn run(target: &Target) -> anyhow::Result<ExitCode> {
    let client = Client::of(target)?;
    let services = match &target.api {
        // Admin listeners are not reached from elsewhere.
        Some(_) => Map::new(),
        None => services(&local(target)?.admin),
    };
    let nodes = client.get("/api/v1/ops/nodes")?;
    let sessions = client.get("/api/v1/relay/sessions")?;
    let ready = services.values().all(|service| service["ready"] == true);
    let status = json!({
        "ready": ready,
        "services": services,
        "nodes": count(&nodes["nodes"]),
        "sessions": count(&sessions["sessions"]),
    });
    if target.json {
        print::json(&status);
    } else {
        show(&status);
    }
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn local(target: &Target) -> anyhow::Result<RunFile> {
    let state_dir = StateDir::choose(target.state_dir.as_deref())?;
    Ok(RunFile::read(&state_dir.run_file())?)
}

fn services(admin: &Admin) -> Map<String, Value> {
    [
        ("api", &admin.api),
        ("jobs", &admin.jobs),
        ("relay-node", &admin.relay_node),
        ("metrics-gateway", &admin.metrics_gateway),
    ]
    .into_iter()
    .map(|(name, url)| (name.to_owned(), service(url)))
    .collect()
}

fn service(admin: &str) -> Value {
    match client::fetch(&format!("{admin}/readyz")) {
        Ok((status, text)) => {
            let report: Value = serde_json::from_str(&text).unwrap_or_default();
            json!({"ready": status == 200, "admin": admin, "parts": report["parts"]})
        }
        Err(error) => json!({"ready": false, "admin": admin, "error": error.to_string()}),
    }
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

fn show(status: &Value) {
    let services = status["services"].as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = services
        .map(|(name, service)| vec![name.clone(), state(service), print::text(&service["admin"])])
        .collect();
    if !rows.is_empty() {
        print::table(&["service", "state", "admin"], &rows, "");
    }
    print::line(&format!(
        "nodes: {}, live sessions: {}",
        status["nodes"], status["sessions"]
    ));
}

fn state(service: &Value) -> String {
    if service["ready"] == true {
        return "ready".to_owned();
    }
    let parts = service["parts"].as_object().into_iter().flatten();
    let unwell: Vec<String> = parts
        .filter(|(_, state)| *state != "ok")
        .map(|(part, state)| format!("{part}: {}", print::text(state)))
        .collect();
    match service["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!("not ready: {}", unwell.join("; ")),
    }
}
