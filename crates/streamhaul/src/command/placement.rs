//! `streamhaul placement`: where sessions go, and why.

use serde_json::{Value, json};

use crate::cli::Placement;
use crate::client::Client;
use crate::print;

const TERMS: [&str; 6] = ["region", "latency", "budget", "money", "port", "load"];

pub(super) fn run(command: &Placement) -> anyhow::Result<()> {
    let Placement::Explain {
        session,
        region,
        mbps,
        players,
        hours,
        user,
        target,
    } = command;
    let client = Client::of(target)?;
    let answer = if let Some(session) = session {
        client.get(&format!("/api/v1/ops/placement/sessions/{session}"))?
    } else {
        let request = json!({
            "region": region.as_ref().map(model::Region::as_str),
            "stream_bps": mbps.map(|mbps| (mbps * 1e6).round() as u64),
            "players": players,
            "user_id": user,
            "duration_seconds": hours.map(|hours| (hours * 3600.0).round() as u64),
        });
        client.post("/api/v1/ops/placement/explain", &request, None)?
    };
    if target.json {
        print::json(&answer);
        return Ok(());
    }
    show(&client, &answer)
}

fn show(client: &Client, answer: &Value) -> anyhow::Result<()> {
    let listed = client.get("/api/v1/ops/nodes")?;
    let head: Vec<&str> = ["node", "region", "rtt, ms", "cost"]
        .into_iter()
        .chain(TERMS)
        .chain(["refused"])
        .collect();
    let candidates = answer["candidates"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = candidates.map(|it| row(it, &listed)).collect();
    print::table(
        &head,
        &rows,
        "no node; `streamhaul nodes add NAME` makes one",
    );
    if answer["region_fallback"] == true {
        print::line("the best is in another region than asked for");
    }
    Ok(())
}

fn row(candidate: &Value, listed: &Value) -> Vec<String> {
    let nodes = listed["nodes"].as_array().into_iter().flatten();
    let known = nodes
        .into_iter()
        .find(|node| node["node_id"] == candidate["node_id"]);
    let name = known.map_or(&candidate["node_id"], |node| &node["name"]);
    // The region as a place comes first, then as a term of the cost.
    let mut row = vec![
        print::text(name),
        print::text(&candidate["region"]),
        milliseconds(&candidate["rtt_ms"]),
        price(&candidate["cost"]),
    ];
    row.extend(TERMS.map(|term| price(&candidate["terms"][term])));
    row.push(print::text(&candidate["refusal"]));
    row
}

fn milliseconds(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |rtt_ms| format!("{rtt_ms:.0}"))
}

fn price(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".to_owned(), |price| format!("{price:.3}"))
}
