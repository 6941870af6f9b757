//! `streamhaul nodes`: the fleet.

use anyhow::Context as _;
use model::Region;
use serde_json::{Value, json};

use super::budget;
use crate::cli::{Nodes, Target};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Nodes) -> anyhow::Result<()> {
    match command {
        Nodes::List(target) => list(target),
        Nodes::Add {
            name,
            region,
            sessions_max,
            target,
        } => add(name, region.as_ref(), *sessions_max, target),
        Nodes::Drain { node, undo, target } => drain(node, !undo, target),
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
            "name", "state", "region", "host", "sessions", "version", "node",
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
        field("region"),
        field("public_host"),
        sessions,
        field("version"),
        field("node_id"),
    ]
}

fn add(
    name: &str,
    region: Option<&Region>,
    sessions_max: Option<u32>,
    target: &Target,
) -> anyhow::Result<()> {
    let mut request = json!({"name": name});
    if let Some(region) = region {
        request["region"] = region.as_str().into();
    }
    if let Some(sessions_max) = sessions_max {
        request["sessions_max"] = sessions_max.into();
    }
    let made = Client::of(target)?.post("/api/v1/ops/nodes", &request, None)?;
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

fn drain(wanted: &str, draining: bool, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("/api/v1/ops/nodes/{}/drain", find(&client, wanted)?);
    let answer = client.post(&path, &json!({"draining": draining}), None)?;
    if target.json {
        print::json(&answer);
    } else if draining {
        print::line(&format!("{wanted} gets no new sessions"));
    } else {
        print::line(&format!("{wanted} gets sessions again"));
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
