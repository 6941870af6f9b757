//! `streamhaul sessions report`.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::Target;
use crate::client::Client;
use crate::print;

pub(super) fn run(session: &str, html: Option<&Path>, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("/v1/sessions/{session}/report");
    if let Some(file) = html {
        return save(&client.text(&format!("{path}?format=html"))?, file);
    }
    let report = client.get(&path)?;
    if target.json {
        print::json(&report);
    } else {
        show(&report);
    }
    Ok(())
}

fn save(page: &str, file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        print::bytes(page.as_bytes());
        return Ok(());
    }
    std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
    print::line(&format!("wrote {}", file.display()));
    Ok(())
}

fn show(report: &Value) {
    let totals = &report["totals"];
    for (name, value) in [
        ("session", print::text(&report["session_id"])),
        ("from", time(&report["from"])),
        ("to", time(&report["to"])),
        ("published", seconds(&totals["published_s"])),
        ("mean bit rate", megabits(&totals["bitrate_bps_mean"])),
        ("highest", megabits(&totals["bitrate_bps_max"])),
        ("received", megabytes(&totals["bytes"])),
        ("sent to players", megabytes(&totals["egress_bytes"])),
        ("lost on the way", with(&totals["loss_pct"], "%")),
        ("never came", with(&totals["given_up_pct"], "%")),
        ("round trip", with(&totals["rtt_ms_mean"], "ms")),
    ] {
        print::line(&format!("{name:18} {value}"));
    }
    let links = report["links"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = links.map(link).collect();
    let head = [
        "link", "carrier", "kind", "share", "received", "lost", "rtt", "time",
    ];
    print::line("");
    print::table(&head, &rows, "no links: the publisher did not bond");
    let interruptions = report["interruptions"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = interruptions.map(interruption).collect();
    print::line("");
    print::table(
        &["interrupted", "from", "to", "about"],
        &rows,
        "no interruptions",
    );
}

fn link(link: &Value) -> Vec<String> {
    vec![
        print::text(&link["number"]),
        print::text(&link["carrier"]),
        print::text(&link["link_type"]),
        with(&link["share_pct"], "%"),
        megabytes(&link["bytes"]),
        with(&link["loss_pct"], "%"),
        with(&link["rtt_ms_mean"], "ms"),
        seconds(&link["live_s"]),
    ]
}

fn interruption(one: &Value) -> Vec<String> {
    let what = one["link"].as_u64();
    let to = &one["to"];
    vec![
        what.map_or_else(|| "stream".to_owned(), |link| format!("link {link}")),
        time(&one["from"]),
        if to.is_null() {
            "not back".to_owned()
        } else {
            time(to)
        },
        seconds(&one["seconds"]),
    ]
}

/// RFC 3339, UTC.
fn time(at: &Value) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_i64().unwrap_or_default());
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn seconds(value: &Value) -> String {
    with(value, "s")
}

fn megabits(bps: &Value) -> String {
    let bps = bps.as_f64();
    bps.map_or_else(|| "-".to_owned(), |bps| format!("{:.2} Mbit/s", bps / 1e6))
}

fn megabytes(bytes: &Value) -> String {
    format!("{:.1} MB", bytes.as_f64().unwrap_or(0.0) / 1e6)
}

fn with(value: &Value, unit: &str) -> String {
    if value.is_null() {
        "-".to_owned()
    } else {
        format!("{value} {unit}")
    }
}
