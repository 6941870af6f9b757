//! `streamhaul streams`: slots and their settings.

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::cli::{Settings, Streams, Target};
use crate::client::Client;
use crate::print;

/// The value that leaves a setting to the node.
const DEFAULT: &str = "default";

pub(super) fn run(command: &Streams) -> anyhow::Result<()> {
    match command {
        Streams::List(target) => list(target),
        Streams::Settings(Settings::Get { stream, target }) => get(stream, target),
        Streams::Settings(Settings::Set {
            stream,
            settings,
            target,
        }) => set(stream, settings, target),
    }
}

fn list(target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get("/api/v1/streams")?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = streams(&listed).map(row).collect();
    print::table(
        &["name", "session", "settings", "stream"],
        &rows,
        "no stream; `streamhaul relay start` makes one",
    );
    Ok(())
}

fn row(stream: &Value) -> Vec<String> {
    vec![
        print::text(&stream["connection_id"]),
        print::text(&stream["session_id"]),
        in_short(&stream["settings"]),
        print::text(&stream["stream_id"]),
    ]
}

/// What is set, in the words that `set` takes.
fn in_short(settings: &Value) -> String {
    let set = fields(settings).filter(|(_, value)| !value.is_null());
    let words: Vec<String> = set
        .map(|(name, value)| format!("{name}={}", print::text(value)))
        .collect();
    if words.is_empty() {
        return DEFAULT.to_owned();
    }
    words.join(" ")
}

fn get(stream: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let shown = client.get(&path(&client, stream)?)?;
    show(&shown, target);
    Ok(())
}

fn set(stream: &str, settings: &[(String, String)], target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let changes: Map<String, Value> = settings
        .iter()
        .map(|(name, text)| (name.clone(), value(text)))
        .collect();
    let changed = client.patch(&path(&client, stream)?, &Value::Object(changes))?;
    show(&changed, target);
    Ok(())
}

/// A number when it is one, a word otherwise; the instance knows which it wants.
fn value(text: &str) -> Value {
    if text == DEFAULT {
        return Value::Null;
    }
    text.parse::<u64>()
        .map_or_else(|_| text.into(), Value::from)
}

fn show(answer: &Value, target: &Target) {
    if target.json {
        print::json(answer);
        return;
    }
    for (name, value) in fields(&answer["settings"]) {
        let value = match value {
            Value::Null => DEFAULT.to_owned(),
            value => print::text(value),
        };
        print::line(&format!("{name}={value}"));
    }
}

/// Where the settings of a stream are, by its id or its name.
fn path(client: &Client, wanted: &str) -> anyhow::Result<String> {
    if model::StreamId::parse(wanted).is_ok() {
        return Ok(format!("/api/v1/streams/{wanted}/settings"));
    }
    let listed = client.get("/api/v1/streams")?;
    let stream = streams(&listed)
        .find(|stream| stream["connection_id"] == wanted)
        .with_context(|| format!("no stream `{wanted}`; `streamhaul streams list` shows them"))?;
    let id = print::text(&stream["stream_id"]);
    Ok(format!("/api/v1/streams/{id}/settings"))
}

fn streams(listed: &Value) -> impl Iterator<Item = &Value> {
    listed["streams"].as_array().into_iter().flatten()
}

fn fields(settings: &Value) -> impl Iterator<Item = (&String, &Value)> {
    settings.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_numbers_words_or_nothing() {
        assert_eq!(value("30"), json!(30));
        assert_eq!(value("cut"), json!("cut"));
        assert_eq!(value("-1"), json!("-1"));
        assert_eq!(value("default"), Value::Null);
    }

    #[test]
    fn the_list_shows_what_is_set() {
        let settings = json!({"hold_seconds": 30, "resume": "cut", "start": null});
        assert_eq!(in_short(&settings), "hold_seconds=30 resume=cut");
        assert_eq!(in_short(&json!({"start": null})), "default");
    }
}
