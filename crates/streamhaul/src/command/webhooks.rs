//! `streamhaul webhooks`: where you are told what your sessions do.

use serde_json::{Value, json};

use crate::cli::{Target, Webhooks};
use crate::client::Client;
use crate::print;

const PATH: &str = "/api/v1/webhooks";

pub(super) fn run(command: &Webhooks) -> anyhow::Result<()> {
    match command {
        Webhooks::List(target) => list(target),
        Webhooks::Add {
            url,
            events,
            target,
        } => add(url, events, target),
        Webhooks::Remove { webhook, target } => remove(webhook, target),
    }
}

fn list(target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get(PATH)?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let webhooks = listed["webhooks"].as_array().into_iter().flatten();
    let row = |webhook: &Value| {
        ["webhook_id", "url", "events", "created_at"]
            .map(|name| print::text(&webhook[name]))
            .to_vec()
    };
    let rows: Vec<Vec<String>> = webhooks.map(row).collect();
    print::table(
        &["webhook", "url", "events", "created"],
        &rows,
        "no webhook; `streamhaul webhooks add URL` makes one",
    );
    Ok(())
}

fn add(url: &str, events: &[String], target: &Target) -> anyhow::Result<()> {
    let mut request = json!({"url": url});
    if !events.is_empty() {
        request["events"] = json!(events);
    }
    let made = Client::of(target)?.post(PATH, &request, None)?;
    if target.json {
        print::json(&made);
        return Ok(());
    }
    let field = |name: &str| print::text(&made[name]);
    print::line(&format!(
        "made {}; its secret, shown this once:",
        field("webhook_id")
    ));
    print::line(&format!("  {}", field("secret")));
    Ok(())
}

fn remove(webhook: &str, target: &Target) -> anyhow::Result<()> {
    let removed = Client::of(target)?.delete(&format!("{PATH}/{webhook}"))?;
    if target.json {
        print::json(&removed);
    } else {
        print::line(&format!("removed {webhook}"));
    }
    Ok(())
}
