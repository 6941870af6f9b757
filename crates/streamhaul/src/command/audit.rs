//! `streamhaul audit`: who did what.

use serde_json::Value;

use crate::cli::Target;
use crate::client::Client;
use crate::print;

/// Which entries.
pub(super) struct Filter<'a> {
    pub(super) action: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) before: Option<i64>,
    pub(super) limit: u32,
}

pub(super) fn run(filter: &Filter<'_>, target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get(&path(filter))?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let entries = listed["entries"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = entries.map(row).collect();
    let head = [
        "entry", "at", "actor", "action", "subject", "reason", "detail",
    ];
    print::table(&head, &rows, "nothing was done");
    if let Some(before) = listed["next_before"].as_i64() {
        print::line(&format!("older ones: --before {before}"));
    }
    Ok(())
}

fn path(filter: &Filter<'_>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let before = filter.before.map(|before| before.to_string());
    let limit = filter.limit.to_string();
    let pairs = [
        ("action", filter.action),
        ("subject", filter.subject),
        ("before", before.as_deref()),
        ("limit", Some(&*limit)),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/api/v1/ops/audit?{}", query.finish())
}

fn row(entry: &Value) -> Vec<String> {
    let names = ["id", "at", "actor", "action", "subject", "reason", "detail"];
    names.map(|name| print::text(&entry[name])).to_vec()
}
