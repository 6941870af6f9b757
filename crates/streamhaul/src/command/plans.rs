//! `streamhaul plans`: what users may do.

use serde_json::{Value, json};

use crate::cli::{PlanSet, Plans, Target};
use crate::client::Client;
use crate::print;

const PATH: &str = "/api/v1/ops/plans";

pub(super) fn run(command: &Plans) -> anyhow::Result<()> {
    match command {
        Plans::List(target) => list(target),
        Plans::Set(plan) => set(plan),
    }
}

fn list(target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get(PATH)?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let plans = listed["plans"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = plans.map(row).collect();
    let head = ["plan", "connections", "hours", "bytes", "beyond", ""];
    print::table(&head, &rows, "no plan");
    Ok(())
}

fn row(plan: &Value) -> Vec<String> {
    let hours = plan["included_seconds"].as_u64();
    let said = |is: bool, word: &str| if is { word } else { "" }.to_owned();
    let beyond = if plan["overage_allowed"] == false {
        "refused"
    } else {
        "allowed"
    };
    vec![
        print::text(&plan["plan_tier"]),
        print::text(&plan["max_concurrent_conns"]),
        hours.map_or_else(|| "any".to_owned(), |seconds| (seconds / 3600).to_string()),
        match &plan["included_bytes"] {
            Value::Null => "any".to_owned(),
            bytes => print::text(bytes),
        },
        beyond.to_owned(),
        said(plan["is_default"] == true, "default"),
    ]
}

fn set(plan: &PlanSet) -> anyhow::Result<()> {
    let request = json!({
        "max_concurrent_conns": plan.connections,
        "included_seconds": plan.hours.map(|hours| hours * 3600),
        "included_bytes": plan.bytes,
        "overage_allowed": !plan.no_overage,
    });
    let answer = Client::of(&plan.target)?.put(&format!("{PATH}/{}", plan.name), &request)?;
    if plan.target.json {
        print::json(&answer);
    } else {
        print::line(&format!("the plan {} is set", plan.name));
    }
    Ok(())
}
