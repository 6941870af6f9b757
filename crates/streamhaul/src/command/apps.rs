//! `streamhaul apps`: who may send events, and what came of them.

mod ask;
mod export;
mod usage;

use std::time::Duration;

use jiff::Timestamp;
use proto::telemetry as pb;
use serde_json::{Value, json};

use crate::cli::{AppChange, AppName, Apps as Command, GatewayTarget, NewApp};
use crate::print;
use crate::service_client::Apps;

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Create(new) => create(new),
        Command::List {
            after,
            limit,
            target,
        } => list(after.as_ref(), *limit, target),
        Command::Show { app, target } => show(app, target),
        Command::Change(change) => self::change(change),
        Command::Stats(asked) => ask::run(asked),
        Command::Usage { app, days, target } => usage::run(app, *days, target),
        Command::Export(wanted) => export::run(wanted),
        Command::Rotate { app, grace, target } => rotate(app, *grace, target),
        Command::Disable { app, target } => disable(app, true, target),
        Command::Enable { app, target } => disable(app, false, target),
    }
}

fn create(new: &NewApp) -> anyhow::Result<()> {
    let request = pb::CreateAppRequest {
        org: new.app.org.clone(),
        name: new.app.name.clone(),
        tier: new.tier.0.as_str().to_owned(),
        quota_events: new.quota,
        rate_events: new.rate,
        retention_days: new.retention_days.unwrap_or(0),
        networks: new.networks.clone(),
        origins: new.origins.clone(),
        counts_for_slis: new.slis,
    };
    let made = Apps::of(&new.target)?.call(async |mut client| client.create_app(request).await)?;
    credential("made", &made, &new.target);
    Ok(())
}

fn rotate(app: &AppName, grace: Duration, target: &GatewayTarget) -> anyhow::Result<()> {
    let request = pb::RotateAppRequest {
        org: app.org.clone(),
        name: app.name.clone(),
        grace_seconds: grace.as_secs(),
    };
    let made = Apps::of(target)?.call(async |mut client| client.rotate_app(request).await)?;
    credential("rotated", &made, target);
    Ok(())
}

/// Shows a token and a secret, the only time that anybody does.
fn credential(done: &str, made: &pb::AppCredential, target: &GatewayTarget) {
    let app = made.app.clone().unwrap_or_default();
    let previous = made.previous_ends_at_unix_ms.map(time);
    if target.access.json {
        print::json(&json!({
            "app": to_json(&app), "token": made.token, "secret": made.secret,
            "previous_ends_at": previous,
        }));
        return;
    }
    print::line(&format!(
        "{done} {}/{}; shown this once:",
        app.org, app.name
    ));
    print::line(&format!("  token   {}", made.token));
    print::line(&format!("  secret  {}", made.secret));
    if let Some(previous) = previous {
        print::line(&format!(
            "those before are good until {}",
            print::text(&previous)
        ));
    }
}

fn list(after: Option<&AppName>, limit: u32, target: &GatewayTarget) -> anyhow::Result<()> {
    let after = after.map(|app| format!("{}/{}", app.org, app.name));
    let request = pb::ListAppsRequest {
        limit,
        after: after.unwrap_or_default(),
    };
    let listed = Apps::of(target)?.call(async |mut client| client.list_apps(request).await)?;
    let apps: Vec<Value> = listed.apps.iter().map(to_json).collect();
    if target.access.json {
        print::json(&json!({ "apps": apps }));
        return Ok(());
    }
    let columns = [
        "app",
        "tier",
        "quota_events",
        "rate_events",
        "retention_days",
        "disabled_at",
    ];
    let row = |app: &Value| columns.map(|name| print::text(&app[name])).to_vec();
    let rows: Vec<Vec<String>> = apps.iter().map(row).collect();
    let head = [
        "app",
        "tier",
        "events a month",
        "events a second",
        "days",
        "disabled",
    ];
    print::table(
        &head,
        &rows,
        "no app; `streamhaul apps create ORG/NAME` makes one",
    );
    Ok(())
}

fn show(app: &AppName, target: &GatewayTarget) -> anyhow::Result<()> {
    let request = pb::GetAppRequest {
        org: app.org.clone(),
        name: app.name.clone(),
    };
    let got = Apps::of(target)?.call(async |mut client| client.get_app(request).await)?;
    let mut shown = to_json(&got.app.unwrap_or_default());
    shown["month_events"] = got.month_events.into();
    let secret = |one: &pb::CredentialTimes| {
        json!({
            "created_at": time(one.created_at_unix_ms), "ends_at": one.ends_at_unix_ms.map(time),
        })
    };
    shown["secrets"] = got.credentials.iter().map(secret).collect();
    let change = |one: &pb::AppChange| {
        let details: Value = serde_json::from_str(&one.details_json).unwrap_or_default();
        json!({ "at": time(one.at_unix_ms), "action": one.action, "details": details })
    };
    shown["changes"] = got.changes.iter().map(change).collect();
    if target.access.json {
        print::json(&shown);
        return Ok(());
    }
    fields(&shown);
    Ok(())
}

fn change(change: &AppChange) -> anyhow::Result<()> {
    let terms = &change.terms;
    let list = |given: &[String], is_emptied: bool| {
        let is_given = is_emptied || !given.is_empty();
        is_given.then(|| pb::Texts {
            texts: given.to_vec(),
        })
    };
    let request = pb::ChangeAppRequest {
        org: change.app.org.clone(),
        name: change.app.name.clone(),
        tier: terms.tier.map(|tier| tier.0.as_str().to_owned()),
        quota_events: terms.quota,
        rate_events: terms.rate,
        retention_days: terms.retention_days,
        networks: list(&terms.networks, terms.any_network),
        origins: list(&terms.origins, terms.no_origin),
        counts_for_slis: terms.slis,
    };
    let target = &change.target;
    let answer = Apps::of(target)?.call(async |mut client| client.change_app(request).await)?;
    let told = to_json(&answer.app.unwrap_or_default());
    if target.access.json {
        print::json(&json!({ "app": told, "changed": answer.changed }));
        return Ok(());
    }
    print::line(match answer.changed {
        true => "changed; it is now:",
        false => "it was so already:",
    });
    fields(&told);
    Ok(())
}

/// A line for each field, and for each element of an array.
fn fields(value: &Value) {
    for (name, value) in value.as_object().into_iter().flatten() {
        for (place, value) in each(value).into_iter().enumerate() {
            let name = if place == 0 { name } else { "" };
            print::line(&format!("{name:<15} {}", print::text(&value)));
        }
    }
}

/// The elements of an array, or the value itself.
fn each(value: &Value) -> Vec<Value> {
    match value.as_array() {
        Some(values) if !values.is_empty() => values.clone(),
        Some(_) => vec![Value::Null],
        None => vec![value.clone()],
    }
}

fn disable(app: &AppName, disabled: bool, target: &GatewayTarget) -> anyhow::Result<()> {
    let request = pb::DisableAppRequest {
        org: app.org.clone(),
        name: app.name.clone(),
        disabled,
    };
    let answer = Apps::of(target)?.call(async |mut client| client.disable_app(request).await)?;
    let told = to_json(&answer.app.unwrap_or_default());
    if target.access.json {
        print::json(&json!({ "app": told, "changed": answer.changed }));
        return Ok(());
    }
    let name = print::text(&told["app"]);
    let already = if answer.changed { "" } else { ", as before" };
    print::line(&match disabled {
        true => format!("{name} may send nothing{already}; `streamhaul apps enable` lets it again"),
        false => format!("{name} may send{already}"),
    });
    Ok(())
}

fn to_json(app: &pb::App) -> Value {
    json!({
        "app": format!("{}/{}", app.org, app.name), "tier": app.tier,
        "quota_events": app.quota_events, "rate_events": app.rate_events,
        "retention_days": app.retention_days, "networks": app.networks, "origins": app.origins,
        "counts_for_slis": app.counts_for_slis, "created_at": time(app.created_at_unix_ms),
        "disabled_at": app.disabled_at_unix_ms.map(time),
    })
}

fn time(unix_ms: i64) -> Value {
    let at = Timestamp::from_millisecond(unix_ms).ok();
    at.map_or(Value::Null, |at| at.to_string().into())
}
