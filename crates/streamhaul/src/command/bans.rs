//! `streamhaul bans`: who and what is shut out.

use std::time::Duration;

use serde_json::{Value, json};

use super::users;
use crate::cli::{BanKind, Bans, Target};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Bans) -> anyhow::Result<()> {
    match command {
        Bans::Add {
            kind,
            subject,
            reason,
            lasting,
            target,
        } => add(*kind, subject, reason, *lasting, target),
        Bans::List { ended, target } => list(*ended, target),
        Bans::Remove { ban, target } => remove(ban, target),
    }
}

fn add(
    kind: BanKind,
    subject: &str,
    reason: &str,
    lasting: Option<Duration>,
    target: &Target,
) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let subject = match kind {
        BanKind::User => print::text(&users::find(&client, subject)?["user_id"]),
        BanKind::Tenant | BanKind::Prefix | BanKind::StreamKey => subject.to_owned(),
    };
    let mut request = json!({"kind": kind.as_str(), "subject": subject, "reason": reason});
    if let Some(lasting) = lasting {
        request["seconds"] = lasting.as_secs().into();
    }
    let made = client.post("/api/v1/ops/bans", &request, None)?;
    if target.json {
        print::json(&made);
        return Ok(());
    }
    let field = |name: &str| print::text(&made[name]);
    let until = if made["expires_at"].is_null() {
        format!("until `streamhaul bans remove {}`", field("ban_id"))
    } else {
        format!("until {}", field("expires_at"))
    };
    print::line(&format!("{} is banned {until}", field("subject")));
    Ok(())
}

fn list(ended: bool, target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get(&format!("/api/v1/ops/bans?ended={ended}"))?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let bans = listed["bans"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = bans.map(row).collect();
    let columns = [
        "kind", "subject", "since", "expires", "ended", "reason", "ban",
    ];
    print::table(&columns, &rows, "nobody is banned");
    Ok(())
}

fn row(ban: &Value) -> Vec<String> {
    let names = [
        "kind",
        "subject",
        "created_at",
        "expires_at",
        "ended_at",
        "reason",
        "ban_id",
    ];
    names.map(|name| print::text(&ban[name])).to_vec()
}

fn remove(ban: &str, target: &Target) -> anyhow::Result<()> {
    Client::of(target)?.delete(&format!("/api/v1/ops/bans/{ban}"))?;
    if !target.json {
        print::line(&format!("{ban} is lifted"));
    }
    Ok(())
}
