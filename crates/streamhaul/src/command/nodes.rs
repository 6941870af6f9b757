//! `streamhaul nodes`: the fleet.

use anyhow::Context as _;
use model::Region;
use model::node::NodeIntent;
use serde_json::{Value, json};

use super::budget;
use crate::cli::{Nodes, Target};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Nodes) -> anyhow::Result<()> {
    match command {
        Nodes::List(target) => list(target),
        Nodes::Drains(target) => drains(target),
        Nodes::Add {
            name,
            region,
            sessions_max,
            no_probation,
            target,
        } => {
            let request = json!({
                "name": name,
                "region": region.as_ref().map(Region::as_str),
                "sessions_max": sessions_max,
                "probation": !no_probation,
            });
            add(&request, target)
        }
        Nodes::Show { node, target } => show(node, target),
        Nodes::Drain {
            node,
            deadline,
            reason,
            undo,
            target,
        } => {
            let mut order = json!({"draining": !undo, "reason": reason});
            if let Some(deadline) = deadline {
                order["deadline_seconds"] = deadline.as_secs().into();
            }
            order_node(node, "drain", &order, target)
        }
        Nodes::Quarantine {
            node,
            reason,
            target,
        } => {
            let order = json!({"quarantined": true, "reason": reason});
            order_node(node, "quarantine", &order, target)
        }
        Nodes::Release { node, target } => {
            order_node(node, "quarantine", &json!({"quarantined": false}), target)
        }
        Nodes::Ban {
            node,
            reason,
            target,
        } => {
            let order = json!({"banned": true, "reason": reason});
            order_node(node, "ban", &order, target)
        }
        Nodes::Unban { node, target } => order_node(node, "ban", &json!({"banned": false}), target),
        Nodes::Limits {
            node,
            sessions_max,
            target,
            ..
        } => {
            let limits = json!({"sessions_max": sessions_max});
            order_node(node, "limits", &limits, target)
        }
        Nodes::Remove { node, target } => remove(node, target),
        Nodes::Budget(command) => budget::run(command),
    }
}

fn list(target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get("/api/v1/ops/nodes")?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = nodes(&listed).map(row).collect();
    print::table(
        &[
            "name", "state", "why", "region", "host", "sessions", "version", "node",
        ],
        &rows,
        "no node; `streamhaul nodes add NAME` makes one",
    );
    Ok(())
}

fn row(node: &Value) -> Vec<String> {
    let field = |name: &str| print::text(&node[name]);
    let sessions = format!("{}/{}", field("sessions"), field("sessions_max"));
    vec![
        field("name"),
        field("state"),
        field("state_reason"),
        field("region"),
        field("public_host"),
        sessions,
        field("version"),
        field("node_id"),
    ]
}

fn drains(target: &Target) -> anyhow::Result<()> {
    let mut listed = Client::of(target)?.get("/api/v1/ops/nodes")?;
    if let Some(nodes) = listed["nodes"].as_array_mut() {
        nodes.retain(|node| node["intent"] == NodeIntent::Draining.as_str());
    }
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = nodes(&listed).map(drain).collect();
    print::table(
        &["name", "state", "sessions", "ends", "why", "node"],
        &rows,
        "no node is drained; `streamhaul nodes drain NODE` empties one",
    );
    Ok(())
}

fn drain(node: &Value) -> Vec<String> {
    let fields = [
        "name",
        "state",
        "sessions",
        "drain_deadline",
        "intent_reason",
        "node_id",
    ];
    fields.map(|name| print::text(&node[name])).to_vec()
}

fn add(request: &Value, target: &Target) -> anyhow::Result<()> {
    let made = Client::of(target)?.post("/api/v1/ops/nodes", request, None)?;
    if target.json {
        print::json(&made);
        return Ok(());
    }
    let id = print::text(&made["node_id"]);
    print::line(&format!("made {id}, which joins once with"));
    print::line(&format!(
        "  STREAMHAUL_RELAY_NODE__JOIN_TOKEN={} streamhaul-relay-node",
        print::text(&made["join_token"])
    ));
    Ok(())
}

fn show(wanted: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let node = client.get(&format!("/api/v1/ops/nodes/{}", find(&client, wanted)?))?;
    if target.json {
        print::json(&node);
        return Ok(());
    }
    for (name, value) in node.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    print::line(&format!("{name}.{field}: {}", print::text(value)));
                }
            }
            Value::Array(_) => {}
            value => print::line(&format!("{name}: {}", print::text(value))),
        }
    }
    let sessions = node["live_sessions"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = sessions.map(session).collect();
    print::table(
        &["session", "state", "publishing", "since", "tenant"],
        &rows,
        "no session",
    );
    Ok(())
}

fn session(session: &Value) -> Vec<String> {
    let field = |name: &str| print::text(&session[name]);
    [
        "session_id",
        "state",
        "publishing",
        "started_at",
        "tenant_id",
    ]
    .map(field)
    .to_vec()
}

/// Says what an operator wants of a node, and prints what it is from then on.
fn order_node(wanted: &str, what: &str, order: &Value, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("/api/v1/ops/nodes/{}/{what}", find(&client, wanted)?);
    let node = client.post(&path, order, None)?;
    if target.json {
        print::json(&node);
        return Ok(());
    }
    let field = |name: &str| print::text(&node[name]);
    print::line(&format!(
        "{wanted} is {} and holds {} of {} sessions",
        field("state"),
        field("sessions"),
        field("sessions_max")
    ));
    if !node["drain_deadline"].is_null() {
        let deadline = field("drain_deadline");
        print::line(&format!("what is left ends at {deadline}"));
    }
    Ok(())
}

fn remove(wanted: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    client.delete(&format!("/api/v1/ops/nodes/{}", find(&client, wanted)?))?;
    if !target.json {
        print::line(&format!("{wanted} is removed"));
    }
    Ok(())
}

/// The id of a node that was named by its id or its name.
pub(super) fn find(client: &Client, wanted: &str) -> anyhow::Result<String> {
    let listed = client.get("/api/v1/ops/nodes")?;
    let node = nodes(&listed)
        .find(|node| node["node_id"] == wanted || node["name"] == wanted)
        .with_context(|| format!("no node `{wanted}`; `streamhaul nodes list` shows them"))?;
    Ok(print::text(&node["node_id"]))
}

fn nodes(listed: &Value) -> impl Iterator<Item = &Value> {
    listed["nodes"].as_array().into_iter().flatten()
}
