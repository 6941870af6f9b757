//! `streamhaul apps stats`.

use form_urlencoded::Serializer;
use proto::telemetry as pb;
use serde_json::Value;

use crate::cli::{AppStats, EventsAsked};
use crate::print;
use crate::service_client::Apps;

pub(super) fn run(asked: &AppStats) -> anyhow::Result<()> {
    let request = pb::AskAppRequest {
        org: asked.app.org.clone(),
        name: asked.app.name.clone(),
        query: query(asked),
    };
    let apps = Apps::patient(&asked.target)?;
    let answer = apps.call(async |mut client| client.ask_app(request).await)?;
    let answer: Value = serde_json::from_str(&answer.json)?;
    if asked.target.access.json {
        print::json(&answer);
    } else {
        show(&answer);
    }
    Ok(())
}

fn query(asked: &AppStats) -> String {
    let groups = asked.groups.map(|groups| groups.to_string());
    let given = [
        ("measure", Some(asked.measure.as_str())),
        ("of", asked.of.as_deref()),
        ("field", asked.field.as_deref()),
        ("by", asked.by.as_deref()),
        ("groups", groups.as_deref()),
        ("step", asked.step.as_deref()),
    ];
    parameters(&given, &asked.events)
}

/// What stands behind the question mark.
pub(super) fn parameters(given: &[(&str, Option<&str>)], events: &EventsAsked) -> String {
    let which = [
        ("from", Some(events.from.as_str())),
        ("to", Some(events.to.as_str())),
        ("type", events.event_type.as_deref()),
    ];
    let all = given.iter().chain(&which);
    let named = all.filter_map(|(name, value)| Some((*name, (*value)?)));
    Serializer::new(String::new()).extend_pairs(named).finish()
}

/// Group by group; of one group step by step.
fn show(answer: &Value) {
    print::line(&format!(
        "{} to {}, as of {}",
        print::text(&answer["from"]),
        print::text(&answer["to"]),
        print::text(&answer["as_of"])
    ));
    let series: Vec<&Value> = answer["series"].as_array().into_iter().flatten().collect();
    let is_grouped = !answer["by"].is_null();
    let (first, mut rows) = if is_grouped {
        (print::text(&answer["by"]), groups(&series))
    } else {
        ("time".to_owned(), steps(answer, &series))
    };
    if let Some(other) = answer.get("other").filter(|other| !other.is_null()) {
        rows.push(row("(others)".to_owned(), &other["total"]));
    }
    let mut head = vec![first.as_str()];
    match answer["measure"].as_str() {
        Some("percentiles") => head.extend(["samples", "p50", "p95", "p99"]),
        Some("rate") => head.push("events a second"),
        Some("uniques") => head.push(answer["of"].as_str().unwrap_or_default()),
        _ => head.push("events"),
    }
    print::table(&head, &rows, "nothing");
}

fn groups(series: &[&Value]) -> Vec<Vec<String>> {
    let group = |one: &&Value| row(print::text(&one["group"]), &one["total"]);
    series.iter().map(group).collect()
}

fn steps(answer: &Value, series: &[&Value]) -> Vec<Vec<String>> {
    let times = answer["times"].as_array().into_iter().flatten();
    let values = series.first().and_then(|all| all["values"].as_array());
    let steps = times.zip(values.into_iter().flatten());
    let mut rows: Vec<_> = steps
        .map(|(time, value)| row(print::text(time), value))
        .collect();
    let total = series
        .first()
        .map(|all| row("all".to_owned(), &all["total"]));
    rows.extend(total);
    rows
}

/// A name and a number, or the four of percentiles.
fn row(name: String, value: &Value) -> Vec<String> {
    let names = ["samples", "p50", "p95", "p99"];
    let mut row = vec![name];
    if value.is_object() {
        row.extend(names.map(|name| print::text(&value[name])));
    } else {
        row.push(print::text(value));
    }
    row
}
