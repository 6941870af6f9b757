//! `streamhaul dns`: the names of stream slots.

use serde_json::{Value, json};

use crate::cli::{Dns, Target};
use crate::client::Client;
use crate::print;

const PATH: &str = "/api/v1/ops/dns";

pub(super) fn run(command: &Dns) -> anyhow::Result<()> {
    match command {
        Dns::Status { limit, target } => status(*limit, target),
        Dns::Sync(target) => sync(target),
    }
}

fn status(limit: u32, target: &Target) -> anyhow::Result<()> {
    let shown = Client::of(target)?.get(&format!("{PATH}?limit={limit}"))?;
    if target.json {
        print::json(&shown);
        return Ok(());
    }
    if shown["zone"].is_null() {
        print::line("slots have no names: set dns.zone in api's configuration");
    } else {
        print::line(&summary(&shown));
    }
    let records = shown["records"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = records.map(row).collect();
    let head = [
        "name", "state", "host", "to be", "written", "stream", "trouble",
    ];
    print::table(&head, &rows, "no record");
    Ok(())
}

fn summary(shown: &Value) -> String {
    let field = |name: &str| print::text(&shown[name]);
    format!(
        "{}: {} published, {} pending, {} failing; TTL {} s; last written {}",
        field("zone"),
        field("published"),
        field("pending"),
        field("failing"),
        field("ttl_seconds"),
        field("published_at"),
    )
}

fn row(record: &Value) -> Vec<String> {
    let names = [
        "name",
        "state",
        "host",
        "intended_host",
        "published_at",
        "stream_id",
        "failure",
    ];
    names.map(|name| print::text(&record[name])).to_vec()
}

fn sync(target: &Target) -> anyhow::Result<()> {
    let answer = Client::of(target)?.post(&format!("{PATH}/sync"), &json!({}), None)?;
    if target.json {
        print::json(&answer);
    } else {
        let records = print::text(&answer["records"]);
        print::line(&format!("{records} records are written again"));
    }
    Ok(())
}
