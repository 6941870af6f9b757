//! `streamhaul apps usage`.

use proto::telemetry as pb;
use serde_json::Value;

use crate::cli::{AppName, GatewayTarget};
use crate::print;
use crate::service_client::Apps;

pub(super) fn run(app: &AppName, days: u32, target: &GatewayTarget) -> anyhow::Result<()> {
    let request = pb::GetAppUsageRequest {
        org: app.org.clone(),
        name: app.name.clone(),
        query: format!("days={days}"),
    };
    let apps = Apps::patient(target)?;
    let answer = apps.call(async |mut client| client.get_app_usage(request).await)?;
    let usage: Value = serde_json::from_str(&answer.json)?;
    if target.access.json {
        print::json(&usage);
        return Ok(());
    }
    let month = &usage["month"];
    print::line(&format!(
        "since {}: {} events of {}; {} a second; kept for {} days",
        print::text(&month["from"]),
        print::text(&month["events"]),
        bound(&month["quota_events"]),
        bound(&usage["rate_events"]),
        print::text(&usage["retention_days"])
    ));
    let columns = ["day", "events", "duplicates", "quarantined"];
    let row = |day: &Value| columns.map(|name| print::text(&day[name])).to_vec();
    let days = usage["days"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = days.map(row).collect();
    print::table(&columns, &rows, "nothing came on these days");
    Ok(())
}

fn bound(events: &Value) -> String {
    match events {
        Value::Null => "any number".to_owned(),
        bound => print::text(bound),
    }
}
