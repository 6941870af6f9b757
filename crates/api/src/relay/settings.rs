//! A stream's settings: shown to its owner, changed as a JSON merge patch (RFC 7396).

use model::{InvalidSettings, StreamId, StreamSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use storage::control::streams::{self, Description};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::state::App;

/// The settings to change; what is null goes back to the node's own.
#[derive(Debug)]
pub(crate) struct Patch(Map<String, Value>);

impl Patch {
    pub(crate) fn from_json(body: Value) -> Result<Self, ApiError> {
        match body {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(ApiError::invalid("the body is not an object of settings")),
        }
    }

    /// The settings as they become.
    fn apply(self, to: &StreamSettings) -> Result<StreamSettings, ApiError> {
        let mut settings = to.clone();
        for (field, value) in self.0 {
            set(&mut settings, &field, value)?;
        }
        settings
            .check()
            .map_err(|error: InvalidSettings| ApiError::invalid(error.to_string()))?;
        Ok(settings)
    }
}

fn set(settings: &mut StreamSettings, field: &str, value: Value) -> Result<(), ApiError> {
    let read = match field {
        "latency_min_ms" => read(&mut settings.latency_min_ms, value),
        "latency_max_ms" => read(&mut settings.latency_max_ms, value),
        "rate_bps_max" => read(&mut settings.rate_bps_max, value),
        "bytes_max" => read(&mut settings.bytes_max, value),
        "players_max" => read(&mut settings.players_max, value),
        "hold_seconds" => read(&mut settings.hold_seconds, value),
        "resume" => read(&mut settings.resume, value),
        "delivery" => read(&mut settings.delivery, value),
        "start" => read(&mut settings.start, value),
        "encryption" => read(&mut settings.encryption, value),
        _ => return Err(ApiError::invalid(unknown(field))),
    };
    read.map_err(|error| ApiError::invalid(format!("{field}: {error}")))
}

fn read<T: DeserializeOwned>(into: &mut Option<T>, value: Value) -> serde_json::Result<()> {
    *into = serde_json::from_value(value)?;
    Ok(())
}

/// A caller's text is repeated in part only.
fn unknown(field: &str) -> String {
    let field: String = field.chars().take(64).collect();
    format!("{field}: there is no such setting")
}

/// One of the caller's streams; an administrator's are all.
pub(crate) async fn find(app: &App, caller: &Caller, id: &str) -> Result<Description, ApiError> {
    let id = StreamId::parse(id).map_err(|_| unknown_stream())?;
    let found = streams::describe(&app.pool, &id).await?;
    owned(found, caller)
}

/// Changes settings. The node of a live session is told when this is committed.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    id: &str,
    patch: Patch,
) -> Result<Description, ApiError> {
    let id = StreamId::parse(id).map_err(|_| unknown_stream())?;
    let mut transaction = storage::begin(&app.pool).await?;
    let stream = owned(streams::lock(&mut transaction, &id).await?, caller)?;
    let settings = patch.apply(&stream.settings)?;
    streams::set_settings(&mut transaction, &stream, &settings).await?;
    storage::commit(transaction).await?;
    let user = &caller.account.user_id;
    tracing::info!(stream.id = %stream.id, user.id = %user, "A stream's settings were changed");
    Ok(Description { settings, ..stream })
}

/// Somebody else's stream is as unknown as none.
fn owned(found: Option<Description>, caller: &Caller) -> Result<Description, ApiError> {
    found
        .filter(|stream| caller.is_admin || stream.user_id == caller.account.user_id)
        .ok_or_else(unknown_stream)
}

fn unknown_stream() -> ApiError {
    ApiError::not_found("no such stream")
}

#[cfg(test)]
mod tests {
    use model::settings::{Delivery, Encryption, Resume, Start};
    use serde_json::json;

    use super::*;

    fn patched(settings: &StreamSettings, body: Value) -> StreamSettings {
        Patch::from_json(body).unwrap().apply(settings).unwrap()
    }

    #[test]
    fn every_setting_can_be_set_and_unset() {
        let all = StreamSettings {
            latency_min_ms: Some(200),
            latency_max_ms: Some(2_000),
            rate_bps_max: Some(20_000_000),
            bytes_max: Some(5_000_000_000),
            players_max: Some(8),
            hold_seconds: Some(30),
            resume: Some(Resume::Cut),
            delivery: Some(Delivery::Buffered),
            start: Some(Start::Keyframe),
            encryption: Some(Encryption::Required),
        };
        let body = json!({
            "latency_min_ms": 200, "latency_max_ms": 2000, "rate_bps_max": 20_000_000,
            "bytes_max": 5_000_000_000_u64, "players_max": 8, "hold_seconds": 30,
            "resume": "cut", "delivery": "buffered", "start": "keyframe",
            "encryption": "required",
        });
        let none = StreamSettings::default();
        assert_eq!(patched(&none, body.clone()), all);
        assert_eq!(serde_json::to_value(&all).unwrap(), body);
        let nulls = serde_json::to_value(&none).unwrap();
        assert_eq!(patched(&all, nulls), none);
    }

    #[test]
    fn what_is_not_named_stays() {
        let before = patched(
            &StreamSettings::default(),
            json!({"hold_seconds": 30, "resume": "cut"}),
        );
        let after = patched(&before, json!({"resume": null}));
        assert_eq!((after.hold_seconds, after.resume), (Some(30), None));
        assert_eq!(patched(&before, json!({})), before);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let before = StreamSettings {
            latency_max_ms: Some(100),
            ..StreamSettings::default()
        };
        let refused = |body: Value| {
            let patch = Patch::from_json(body)?;
            patch.apply(&before)
        };
        for (body, message) in [
            (json!([]), "the body is not an object"),
            (json!({"colour": 1}), "colour: there is no such setting"),
            (json!({"hold_seconds": "x"}), "hold_seconds: invalid type"),
            (json!({"hold_seconds": -1}), "hold_seconds: invalid value"),
            (
                json!({"resume": "x"}),
                "resume: unknown Resume `x`, expected hold, cut",
            ),
            (json!({"players_max": 0}), "players_max: 1 to 1024"),
            // The other end was set before.
            (
                json!({"latency_min_ms": 101}),
                "latency_min_ms: at most latency_max_ms",
            ),
        ] {
            let error = format!("{:?}", refused(body).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}
