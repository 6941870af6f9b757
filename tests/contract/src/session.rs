//! A session as the plugin reads it.

use anyhow::Context;
use serde_json::Value;

const SRT_PORT: u64 = 5000;

/// What the plugin keeps of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its identifier.
    pub id: String,
    /// `provisioning`, `active`, `grace` or `stopped`.
    pub status: String,
    /// What it shows in health reports.
    pub instance_id: String,
    /// Where phones send to.
    pub srt_port: u16,
    /// The publish key.
    pub stream_token: String,
    /// Where OBS plays from.
    pub media_source_url: String,
    /// Where phones send to, as a URL.
    pub sender_url: String,
}

impl Session {
    /// Reads a body, with its wrapping or without, under either name of the identifier.
    ///
    /// # Errors
    /// When it has no identifier: the plugin takes that for a failure.
    pub fn read(body: &Value) -> anyhow::Result<Self> {
        let session = body.get("session").unwrap_or(body);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = session.get("session_id").or_else(|| session.get("id"));
        let id = id.map(text).filter(|id| !id.is_empty());
        let port = session["relay"]["srt_port"].as_u64().unwrap_or(SRT_PORT);
        Ok(Self {
            id: id.context("the session has no identifier")?,
            status: text(&session["status"]),
            instance_id: text(&session["instance_id"]),
            srt_port: u16::try_from(port).context("srt_port")?,
            stream_token: text(&session["credentials"]["stream_token"]),
            media_source_url: text(&session["media_source_url"]),
            sender_url: text(&session["sender_url"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_tolerates_what_is_absent_and_what_is_new() {
        let wrapped = json!({"session": {"session_id": "ses_1", "colour": "red"}, "new": 1});
        let bare = json!({"id": "ses_1", "relay": {"public_ip": "192.0.2.1"}});
        for body in [wrapped, bare] {
            let session = Session::read(&body).unwrap();
            assert_eq!((session.id.as_str(), session.srt_port), ("ses_1", 5000));
        }
        for body in [
            json!({}),
            json!({"session": {"session_id": ""}}),
            Value::Null,
        ] {
            assert!(Session::read(&body).is_err(), "{body}");
        }
    }
}
