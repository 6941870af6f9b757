//! What clients measured: counted when its event is kept, once, and without saying whose it is.
//!
//! | type | `data` | |
//! |---|---|---|
//! | `stream_connection` | `{"path":"direct"}` or `{"path":"relay"}` | a connection that a client made |
//! | `input_to_present` | `{"latency_ms":120.5}` | how long a picture took, from its input to where it is seen |
//!
//! Only apps that an operator chose count. A claim is a claim: it is bounded, and never a label.

use std::sync::Arc;
use std::time::Duration;

use model::UnixMillis;
use model::clock::Clock;
use serde::Deserialize;
use storage::telemetry::intake::Event;

use super::directory::Directory;
use crate::metrics::slis::{self as metrics, Ignored, Path};

const CONNECTION: &str = "stream_connection";
const LATENCY: &str = "input_to_present";
/// The types of events that are looked at.
const TYPES: [&str; 2] = [CONNECTION, LATENCY];

/// No picture is under way for longer, milliseconds.
const LATENCY_MS_MAX: f64 = 60_000.0;
/// What is older tells nothing of now: SDKs keep events until there is a network.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measured {
    Connected(Path),
    Seen(Duration),
}

#[derive(Deserialize)]
struct Connection {
    path: Path,
}

#[derive(Deserialize)]
struct Latency {
    latency_ms: f64,
}

/// Counts what clients measured.
pub(crate) struct Slis {
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Slis {
    /// Counts events that were kept now and not before.
    pub(crate) fn count(&self, fresh: &[&Event]) {
        let mut watched = fresh
            .iter()
            .filter(|it| TYPES.contains(&it.event_type.as_str()))
            .peekable();
        if watched.peek().is_none() {
            return;
        }
        let now = self.clock.now();
        for event in watched {
            let measured = if self.directory.counts_for_slis(event.app_id) {
                measured(event, now)
            } else {
                Err(Ignored::App)
            };
            match measured {
                Ok(Measured::Connected(path)) => metrics::connected(path),
                Ok(Measured::Seen(latency)) => metrics::seen(latency),
                Err(ignored) => metrics::ignored(ignored),
            }
        }
    }
}

fn measured(event: &Event, now: UnixMillis) -> Result<Measured, Ignored> {
    let at = UnixMillis(event.ts_us.div_euclid(1000));
    if at < now.minus(AGE_MAX) || at > now.plus(AGE_MAX) {
        return Err(Ignored::Time);
    }
    let data = event.data.as_deref().unwrap_or_default();
    if event.event_type == CONNECTION {
        let said: Connection = serde_json::from_str(data).map_err(|_| Ignored::Malformed)?;
        return Ok(Measured::Connected(said.path));
    }
    let said: Latency = serde_json::from_str(data).map_err(|_| Ignored::Malformed)?;
    if !(0.0..=LATENCY_MS_MAX).contains(&said.latency_ms) {
        return Err(Ignored::Value);
    }
    Ok(Measured::Seen(Duration::from_secs_f64(
        said.latency_ms / 1000.0,
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);

    fn event(event_type: &str, at: UnixMillis, data: &str) -> Event {
        Event {
            app_id: 1,
            id: Uuid::nil(),
            ts_us: at.0 * 1000,
            context_id: 1,
            event_type: event_type.to_owned(),
            category: None,
            data: Some(data.to_owned()),
        }
    }

    #[test]
    fn what_is_measured_is_told_in_two_ways() {
        let of = |kind, data: &str| measured(&event(kind, NOW, data), NOW);
        let direct = of(CONNECTION, r#"{"path":"direct","more":1}"#);
        assert_eq!(direct, Ok(Measured::Connected(Path::Direct)));
        let relay = of(CONNECTION, r#"{"path":"relay"}"#);
        assert_eq!(relay, Ok(Measured::Connected(Path::Relay)));
        let seen = of(LATENCY, r#"{"latency_ms":120.5}"#);
        assert_eq!(seen, Ok(Measured::Seen(Duration::from_micros(120_500))));
    }

    #[test]
    fn hostile_claims_count_for_nothing() {
        let of = |kind, data: &str| measured(&event(kind, NOW, data), NOW).unwrap_err();
        for data in ["", "1", "{}", r#"{"path":"moon"}"#, r#"{"path":1}"#] {
            assert_eq!(of(CONNECTION, data), Ignored::Malformed, "{data}");
        }
        for data in [
            "",
            "{}",
            r#"{"latency_ms":"1"}"#,
            r#"{"latency_ms":null}"#,
            r#"{"latency_ms":1e999}"#,
        ] {
            assert_eq!(of(LATENCY, data), Ignored::Malformed, "{data}");
        }
        for data in [
            r#"{"latency_ms":-0.1}"#,
            r#"{"latency_ms":60000.1}"#,
            r#"{"latency_ms":1e300}"#,
        ] {
            assert_eq!(of(LATENCY, data), Ignored::Value, "{data}");
        }
        let hour = UnixMillis(3_600_001);
        for at in [UnixMillis(NOW.0 - hour.0), UnixMillis(NOW.0 + hour.0)] {
            let old = event(CONNECTION, at, r#"{"path":"relay"}"#);
            assert_eq!(measured(&old, NOW), Err(Ignored::Time));
        }
    }

    proptest! {
        #[test]
        fn whatever_counts_is_in_bounds(number in any::<f64>(), text in "\\PC{0,40}") {
            for data in [format!("{{\"latency_ms\":{number}}}"), text] {
                if let Ok(Measured::Seen(latency)) = measured(&event(LATENCY, NOW, &data), NOW) {
                    prop_assert!(latency <= Duration::from_secs(60));
                }
                let _ = measured(&event(CONNECTION, NOW, &data), NOW);
            }
        }
    }
}
