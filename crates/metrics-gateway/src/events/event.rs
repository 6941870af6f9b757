//! An event taken apart, once, and what is wrong with what is none; see [`wire`](super::wire).

use std::time::Duration;

use jiff::Timestamp;
use model::UnixMillis;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use storage::telemetry::intake::{Event, Refused};
use uuid::Uuid;

use super::json;
use super::shared::Shared;
use super::wire::{TEXT_BYTES_MAX, Wire, optional};

/// Bytes of an event's `data`.
const DATA_BYTES_MAX: usize = 256 << 10;
/// Bytes of a refused event that are kept.
const EXCERPT_BYTES_MAX: usize = 4096;

/// Declares why something is no event, each with a word.
macro_rules! faults {
    ($($(#[$meta:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// Why something is no event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault { $($(#[$meta])* $variant),+ }

        impl Fault {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The label in metrics, and the word in the quarantine.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one that is called so.
            pub(crate) fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|fault| fault.as_str() == word)
            }
        }
    };
}

faults! {
    /// No object with the fields of an event.
    Malformed = "malformed",
    /// Of a schema that is not version 1.
    Schema = "unknown_schema",
    /// Its id is no UUID.
    Id = "invalid_id",
    /// Its time is none.
    Time = "invalid_time",
    /// Older than what is kept.
    Past = "too_old",
    /// Later than a clock may be wrong.
    Future = "in_the_future",
    /// A text is empty where it must not be, or too long.
    Text = "invalid_text",
    /// Its data are too large.
    Data = "data_too_large",
    /// A text holds U+0000, which PostgreSQL cannot.
    Nul = "nul_character",
    /// Half a character.
    Surrogate = "lone_surrogate",
    /// A number that is too large.
    Number = "number_too_large",
    /// Its data are nested too deeply.
    TooDeep = "too_deep",
    /// PostgreSQL refused it.
    Database = "refused_by_database",
}

/// Which times are believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) past_max: Duration,
    pub(crate) future_max: Duration,
}

/// Takes an event apart, and what it shares with others.
pub(super) fn read<'a>(
    app_id: i32,
    wire: &'a Wire<'_>,
    (times, now): (Times, UnixMillis),
) -> Result<(Event, Shared<'a>), Fault> {
    let schema = &*wire.schema_version.0;
    if !(schema == "1" || schema.starts_with("1.")) {
        return Err(Fault::Schema);
    }
    let id = Uuid::try_parse(&wire.event_id.0).map_err(|_| Fault::Id)?;
    let ts_us = time(&wire.timestamp.0, times, now)?;
    let data = wire.event.data.map(data).transpose()?.flatten();
    let event_type = wire.event.event_type.required()?.to_owned();
    let category = optional(wire.event.category.as_ref())?.map(str::to_owned);
    let shared = Shared::of(wire)?;
    let event = Event {
        app_id,
        id,
        ts_us,
        context_id: shared.id,
        event_type,
        category,
        data,
    };
    Ok((event, shared))
}

/// What is kept of something that is no event.
pub(crate) fn refused(app_id: i32, raw: &str, fault: Fault) -> Refused {
    #[derive(Deserialize)]
    struct Named {
        event_id: String,
    }
    let id = serde_json::from_str::<Named>(raw)
        .ok()
        .map(|it| it.event_id);
    let is_plain = |id: &String| id.len() <= TEXT_BYTES_MAX && !id.contains('\0');
    Refused {
        app_id,
        digest: Sha256::digest(raw.as_bytes()).into(),
        event_id: id.filter(is_plain),
        reason: fault.as_str(),
        event: raw[..raw.floor_char_boundary(EXCERPT_BYTES_MAX)].to_owned(),
    }
}

/// The instant as Unix microseconds, which is what PostgreSQL keeps.
fn time(text: &str, times: Times, now: UnixMillis) -> Result<i64, Fault> {
    let at: Timestamp = text.parse().map_err(|_| Fault::Time)?;
    let at_ms = UnixMillis(at.as_millisecond());
    if at_ms < now.minus(times.past_max) {
        return Err(Fault::Past);
    }
    if at_ms > now.plus(times.future_max) {
        return Err(Fault::Future);
    }
    Ok(at.as_microsecond())
}

/// The data as they came; `null` is none.
fn data(raw: &RawValue) -> Result<Option<String>, Fault> {
    let text = raw.get();
    if text.len() > DATA_BYTES_MAX {
        return Err(Fault::Data);
    }
    json::check(text)?;
    Ok((text != "null").then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use storage::telemetry::intake::Context;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);
    const TIMES: Times = Times {
        past_max: DAY.saturating_mul(400),
        future_max: DAY,
    };

    fn event() -> Value {
        json!({
            "schema_version": "1.0.0",
            "event_id": "6b0f5a53-5a6e-4d5b-8b0f-0c0a4f3e2d1c",
            "timestamp": "2025-10-09T08:53:20.123456789Z",
            "service": {"name": "cam", "version": "1.2.3", "language": "rust", "language_version": "1.75.0"},
            "user_id": "client_1", "session_id": "sess_1",
            "environment": {"os": "linux", "arch": "x86_64", "ci": false},
            "event": {"type": "command_execution", "category": "usage", "data": {"b": 1, "a": [1.50]}},
            "metadata": {"sdk_version": "0.3.0", "batch_size": 1, "retry_count": 0},
            "unknown": [1]
        })
    }

    fn read(event: &Value) -> Result<(Event, Context), Fault> {
        let text = event.to_string();
        let wire = Wire::parse(&text)?;
        let (event, shared) = super::read(7, &wire, (TIMES, NOW))?;
        Ok((event, shared.context(7)))
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut event = event();
        *event.pointer_mut(pointer).unwrap() = value;
        event
    }

    #[test]
    fn an_event_of_the_sdk_is_taken_apart() {
        let (event, context) = read(&event()).unwrap();
        assert_eq!((event.app_id, context.app_id), (7, 7));
        assert_eq!(event.ts_us, 1_760_000_000_123_456, "nanoseconds are cut");
        assert_eq!(event.context_id, context.id);
        assert_eq!(event.data.as_deref(), Some(r#"{"a":[1.5],"b":1}"#));
        assert_eq!(context.sdk_version.as_deref(), Some("0.3.0"));
        assert_eq!((context.ci, context.shell), (Some(false), None));
    }

    #[test]
    fn what_is_no_event_says_why() {
        let deep = json!({"a": serde_json::from_str::<Value>(
            &format!("{}{}", "[".repeat(64), "]".repeat(64))).unwrap()});
        for (event, fault) in [
            (json!({}), Fault::Malformed),
            (json!("text"), Fault::Malformed),
            (with("/schema_version", json!("2.0.0")), Fault::Schema),
            (with("/schema_version", json!("10.0.0")), Fault::Schema),
            (with("/event_id", json!("1")), Fault::Id),
            (with("/timestamp", json!("yesterday")), Fault::Time),
            (
                with("/timestamp", json!("1970-01-01T00:00:00Z")),
                Fault::Past,
            ),
            (
                with("/timestamp", json!("2100-01-01T00:00:00Z")),
                Fault::Future,
            ),
            (with("/user_id", json!("")), Fault::Text),
            (with("/session_id", json!("x".repeat(257))), Fault::Text),
            (with("/service/name", json!("a\0b")), Fault::Nul),
            (with("/event/data", json!({"k": "a\0b"})), Fault::Nul),
            (
                with("/event/data", json!("x".repeat(DATA_BYTES_MAX))),
                Fault::Data,
            ),
            (with("/event/data", deep), Fault::TooDeep),
        ] {
            assert_eq!(read(&event).unwrap_err(), fault, "{fault:?}");
        }
    }

    #[test]
    fn contexts_have_a_number_each_and_it_never_changes() {
        let number = |event: &Value| read(event).unwrap().1.id;
        assert_eq!(number(&event()), -3_850_995_771_509_258_064);
        let mut shifted = event();
        shifted["service"]["name"] = json!("cam1");
        shifted["service"]["version"] = json!(".2.3");
        for other in [
            shifted,
            with("/environment/ci", json!(null)),
            with("/session_id", json!(null)),
        ] {
            assert_ne!(number(&other), number(&event()));
        }
        assert_eq!(number(&with("/event/type", json!("x"))), number(&event()));
    }

    #[test]
    fn what_is_refused_is_kept_in_bounds() {
        let text = format!("{{\"event_id\":\"e\",\"x\":\"{}\"}}", "é".repeat(5000));
        let refused = refused(7, &text, Fault::Malformed);
        assert!(refused.event.len() <= EXCERPT_BYTES_MAX);
        assert_eq!(refused.event_id.as_deref(), Some("e"));
        assert_eq!(refused.reason, "malformed");
    }

    proptest! {
        /// Any JSON at all is an event or has a fault, and whatever is an event fits.
        #[test]
        fn no_json_panics(text in "\\PC{0,40}", pointer in 0_usize..5) {
            let value = serde_json::from_str(&text).unwrap_or(json!(text));
            let places = ["/event/data", "/timestamp", "/event", "/user_id", "/environment/os"];
            if let Ok((event, context)) = read(&with(places[pointer], value)) {
                prop_assert!(event.data.is_none_or(|data| data.len() <= DATA_BYTES_MAX));
                prop_assert!(context.user_id.len() <= TEXT_BYTES_MAX);
            }
        }
    }
}
