//! `streamhaul fleet`: the fleet as a whole.

use serde_json::Value;

use crate::cli::{Fleet, Target};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Fleet) -> anyhow::Result<()> {
    match command {
        Fleet::Advice(target) => advice(target),
    }
}

fn advice(target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let advice = client.get("/api/v1/ops/fleet/advice")?;
    if target.json {
        print::json(&advice);
        return Ok(());
    }
    let listed = client.get("/api/v1/ops/nodes")?;
    let name = |id: &Value| {
        let nodes = listed["nodes"].as_array().into_iter().flatten();
        let known = nodes.into_iter().find(|node| node["node_id"] == *id);
        print::text(known.map_or(id, |node| &node["name"]))
    };
    let regions = advice["regions"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = regions.map(|it| row(it, &name)).collect();
    print::table(
        &[
            "region",
            "a day",
            "more each day",
            "lasting",
            "runs out",
            "missing",
            "add",
        ],
        &rows,
        "nothing is known: `streamhaul nodes budget set NODE` describes what a node's provider offers",
    );
    for node in advice["undescribed"].as_array().into_iter().flatten() {
        let (node, region) = (name(&node["node_id"]), print::text(&node["region"]));
        print::line(&format!(
            "{node} has no offer, so nothing can be said of {region}: `streamhaul nodes budget set {node}`"
        ));
    }
    Ok(())
}

fn row(region: &Value, name: &impl Fn(&Value) -> String) -> Vec<String> {
    let terabytes = |field: &str| format!("{:.2} TB", region[field].as_f64().unwrap_or(0.0) / 1e12);
    let add = &region["add"];
    let to_add = if add.is_null() {
        "-".to_owned()
    } else {
        let (count, like) = (print::text(&add["nodes"]), name(&add["like_node_id"]));
        let price = add["price_per_month"].as_f64().unwrap_or(0.0);
        format!("{count} like {like}, {price:.2} a month")
    };
    vec![
        print::text(&region["region"]),
        terabytes("demand_bytes_per_day"),
        terabytes("growth_bytes_per_day"),
        terabytes("supply_bytes_per_day"),
        print::text(&region["runs_out_at"]),
        terabytes("missing_bytes_per_day"),
        to_add,
    ]
}
