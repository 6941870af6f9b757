//! `streamhaul relay`: sessions.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use model::Region;
use serde_json::{Value, json};

use crate::cli::{Relay, Target};
use crate::client::{Client, Error};
use crate::print;
use crate::secrets::random_hex;

/// How long a node may take to confirm; it usually does within milliseconds.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(command: &Relay) -> anyhow::Result<()> {
    match command {
        Relay::Start {
            name,
            region,
            target,
        } => start(name.as_deref(), region.as_ref(), target),
        Relay::List(target) => list(target),
        Relay::Stop { session, target } => stop(session, target),
    }
}

fn start(name: Option<&str>, region: Option<&Region>, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let mut request = json!({
        "client_context": {"obs_connected": false, "mode": "auto", "requested_by": "streamhaul"},
        "region_preference": region.map_or("", Region::as_str),
    });
    if let Some(name) = name {
        request["connection_id"] = name.into();
    }
    let key = random_hex()?;
    let started = client.post("/api/v1/relay/start", &request, Some(&key))?;
    let session = confirmed(&client, started["session"].clone())?;
    if target.json {
        print::json(&session);
    } else {
        show(&session);
    }
    Ok(())
}

/// Waits until the node holds the session, so that its URLs work when printed.
fn confirmed(client: &Client, started: Value) -> Result<Value, Error> {
    let deadline = Instant::now() + CONFIRMATION_TIMEOUT;
    let mut session = started;
    while session["status"] == "provisioning" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        let now = find(client, |other| other["session_id"] == session["session_id"])?;
        if let Some(now) = now {
            session = now;
        }
    }
    Ok(session)
}

fn show(session: &Value) {
    let field = |name: &str| print::text(&session[name]);
    print::line(&format!(
        "session  {}  ({})",
        field("session_id"),
        field("status")
    ));
    print::line(&format!("publish  {}", field("srt_publish_url")));
    print::line(&format!("phone    {}", field("sender_url")));
    print::line(&format!("play     {}", field("media_source_url")));
}

fn list(target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get("/api/v1/relay/sessions")?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let columns = ["session_id", "connection_id", "status", "region"];
    let rows: Vec<Vec<String>> = sessions(&listed)
        .map(|session| {
            columns
                .iter()
                .map(|name| print::text(&session[*name]))
                .collect()
        })
        .collect();
    print::table(
        &["session", "name", "status", "region"],
        &rows,
        "no live session; `streamhaul relay start` makes one",
    );
    Ok(())
}

fn stop(wanted: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let id = identifier(&client, wanted)?;
    let stopped = client.post("/api/v1/relay/stop", &json!({"session_id": id}), None)?;
    if target.json {
        print::json(&stopped);
    } else {
        print::line(&format!("stopped {id}"));
    }
    Ok(())
}

/// A session's id from its id or its name.
fn identifier(client: &Client, wanted: &str) -> anyhow::Result<String> {
    if model::SessionId::parse(wanted).is_ok() {
        return Ok(wanted.to_owned());
    }
    let session =
        find(client, |session| session["connection_id"] == wanted)?.with_context(|| {
            format!("no live session is called `{wanted}`; `streamhaul relay list` shows them")
        })?;
    Ok(print::text(&session["session_id"]))
}

fn find(client: &Client, is_it: impl Fn(&Value) -> bool) -> Result<Option<Value>, Error> {
    let listed = client.get("/api/v1/relay/sessions")?;
    Ok(sessions(&listed).find(|session| is_it(session)).cloned())
}

fn sessions(listed: &Value) -> impl Iterator<Item = &Value> {
    listed["sessions"].as_array().into_iter().flatten()
}
