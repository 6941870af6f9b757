//! `streamhaul sessions`: everybody's sessions.

mod report;

use serde_json::{Value, json};

use super::nodes;
use crate::cli::{Sessions, Target};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Sessions) -> anyhow::Result<()> {
    match command {
        Sessions::List {
            node,
            user,
            state,
            before,
            limit,
            target,
        } => {
            let client = Client::of(target)?;
            let node = node.as_deref().map(|node| nodes::find(&client, node));
            let node = node.transpose()?;
            let limit = limit.to_string();
            let path = path(&[
                ("node", node.as_deref()),
                ("user", user.as_deref()),
                ("state", Some(&**state).filter(|state| *state != "all")),
                ("before", before.as_deref()),
                ("limit", Some(&limit)),
            ]);
            list(&client, &path, target.json)
        }
        Sessions::Show { session, target } => show(session, target),
        Sessions::Report {
            session,
            html,
            target,
        } => report::run(session, html.as_deref(), target),
        Sessions::Stop {
            session,
            reason,
            target,
        } => stop(session, reason, target),
        Sessions::Migrate {
            session,
            region,
            node,
            reason,
            target,
        } => {
            let client = Client::of(target)?;
            let node = node.as_deref().map(|node| nodes::find(&client, node));
            let request = json!({
                "region": region.as_ref().map(model::Region::as_str),
                "node": node.transpose()?,
                "reason": reason,
            });
            migrate(&client, session, &request, target.json)
        }
    }
}

fn path(pairs: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/api/v1/ops/sessions?{}", query.finish())
}

fn list(client: &Client, path: &str, as_json: bool) -> anyhow::Result<()> {
    let listed = client.get(path)?;
    if as_json {
        print::json(&listed);
        return Ok(());
    }
    let sessions = listed["sessions"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = sessions.map(row).collect();
    let head = [
        "session", "state", "since", "user", "name", "node", "region", "in", "out",
    ];
    print::table(&head, &rows, "no such session");
    if let Some(before) = listed["next_before"].as_str() {
        print::line(&format!("older ones: --before {before}"));
    }
    Ok(())
}

fn row(session: &Value) -> Vec<String> {
    let field = |name: &str| print::text(&session[name]);
    vec![
        field("session_id"),
        field("state"),
        field("since"),
        field("user_name"),
        field("connection_id"),
        field("node_name"),
        field("region"),
        megabytes(&session["ingress_bytes"]),
        megabytes(&session["egress_bytes"]),
    ]
}

fn megabytes(bytes: &Value) -> String {
    format!("{:.1} MB", bytes.as_f64().unwrap_or(0.0) / 1e6)
}

fn show(session: &str, target: &Target) -> anyhow::Result<()> {
    let shown = Client::of(target)?.get(&format!("/api/v1/ops/sessions/{session}"))?;
    if target.json {
        print::json(&shown);
        return Ok(());
    }
    for (name, value) in shown["session"].as_object().into_iter().flatten() {
        if !value.is_null() {
            print::line(&format!("{name:18} {}", print::text(value)));
        }
    }
    let links = &shown["links"];
    let count = print::text(&links["count"]);
    print::line(&format!("{:18} {count}", "links"));
    let history = shown["history"].as_array().into_iter().flatten();
    let event = |event: &Value| {
        ["at", "state", "publishing", "reason"]
            .map(|name| print::text(&event[name]))
            .to_vec()
    };
    let rows: Vec<Vec<String>> = history.map(event).collect();
    print::line("");
    print::table(
        &["at", "state", "publishing", "reason"],
        &rows,
        "nothing was noticed yet",
    );
    Ok(())
}

fn stop(session: &str, reason: &str, target: &Target) -> anyhow::Result<()> {
    let path = format!("/api/v1/ops/sessions/{session}/stop");
    let stopped = Client::of(target)?.post(&path, &json!({"reason": reason}), None)?;
    if target.json {
        print::json(&stopped);
    } else {
        print::line(&format!("stopped {session}"));
    }
    Ok(())
}

fn migrate(client: &Client, session: &str, request: &Value, as_json: bool) -> anyhow::Result<()> {
    let path = format!("/api/v1/ops/sessions/{session}/migrate");
    let moved = client.post(&path, request, None)?;
    if as_json {
        print::json(&moved);
        return Ok(());
    }
    let field = |name: &str| print::text(&moved[name]);
    print::line(&format!(
        "{session} moves to {} on {}",
        field("session_id"),
        field("node_name")
    ));
    Ok(())
}
