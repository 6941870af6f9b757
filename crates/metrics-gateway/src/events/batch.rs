//! The envelope: `{"events":[…]}` with 1 to 1000 events.

use std::collections::HashSet;
use std::fmt;

use model::UnixMillis;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use storage::telemetry::intake::{Context, Event, Refused};

use super::event::{self, Times};
use super::refusal::Refusal;

/// Events in a batch.
pub(crate) const EVENTS_MAX: usize = 1000;

/// The events of one request, of one app.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Batch {
    /// The app's organisation and name.
    pub(crate) source: Source,
    pub(crate) events: Vec<Event>,
    /// Those of the events, each once.
    pub(crate) contexts: Vec<Context>,
    /// What was among them and is no event.
    pub(crate) refused: Vec<Refused>,
}

/// An app by its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) org: String,
    pub(crate) name: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    events: Events<'a>,
}

/// The events as they came, and whether there were more than a batch may have.
struct Events<'a> {
    raw: Vec<&'a RawValue>,
    is_too_many: bool,
}

/// The events of a body, not yet taken apart.
pub(crate) fn open(body: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| Refusal::Json)?;
    match envelope.events {
        Events {
            is_too_many: true, ..
        } => Err(Refusal::BatchTooLarge),
        Events { raw, .. } if raw.is_empty() => Err(Refusal::BatchEmpty),
        Events { raw, .. } => Ok(raw),
    }
}

impl Batch {
    /// Takes events apart; what is none is kept beside them.
    pub(crate) fn of(
        (app_id, source): (i32, Source),
        raw: &[&RawValue],
        times: Times,
        now: UnixMillis,
    ) -> Self {
        let mut batch = Self {
            source,
            events: Vec::with_capacity(raw.len()),
            ..Self::default()
        };
        let mut known = HashSet::new();
        for raw in raw {
            match event::read(app_id, raw, (times, now), |id| !known.insert(id)) {
                Ok((event, context)) => {
                    batch.contexts.extend(context);
                    batch.events.push(event);
                }
                Err(fault) => batch.refused.push(event::refused(app_id, raw.get(), fault)),
            }
        }
        batch
    }

    /// Takes the second half of it away; each half keeps the contexts of its events.
    pub(crate) fn split(&mut self) -> Self {
        let events = self.events.split_off(self.events.len() / 2);
        let contexts = of_these(&self.contexts, &events);
        self.contexts = of_these(&self.contexts, &self.events);
        Self {
            source: self.source.clone(),
            events,
            contexts,
            refused: self.refused.split_off(self.refused.len() / 2),
        }
    }

    /// Events, and what was sent as such.
    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.refused.len()
    }
}

fn of_these(contexts: &[Context], events: &[Event]) -> Vec<Context> {
    let named: HashSet<i64> = events.iter().map(|event| event.context_id).collect();
    let own = contexts
        .iter()
        .filter(|context| named.contains(&context.id));
    own.cloned().collect()
}

impl<'de: 'a, 'a> Deserialize<'de> for Events<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded)
    }
}

/// Keeps no more than a batch may have, however many there are.
struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = Events<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Events<'de>, A::Error> {
        let mut raw = Vec::new();
        while raw.len() < EVENTS_MAX {
            match seq.next_element()? {
                Some(event) => raw.push(event),
                None => {
                    return Ok(Events {
                        raw,
                        is_too_many: false,
                    });
                }
            }
        }
        let mut is_too_many = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            is_too_many = true;
        }
        Ok(Events { raw, is_too_many })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_has_one_to_a_thousand_events() {
        let body = |events: usize| format!("{{\"events\":[{}]}}", vec!["1"; events].join(","));
        assert_eq!(open(body(0).as_bytes()).unwrap_err(), Refusal::BatchEmpty);
        assert_eq!(open(body(1000).as_bytes()).unwrap().len(), 1000);
        assert_eq!(
            open(body(1001).as_bytes()).unwrap_err(),
            Refusal::BatchTooLarge
        );
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let deep = format!(
            "{{\"events\":[{}{}]}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert_eq!(
            open(deep.as_bytes()).unwrap().len(),
            1,
            "no stack is used up"
        );
        for bad in [
            "",
            "[]",
            "{}",
            "{\"events\":1}",
            "{\"events\":[1]}x",
            "\u{0}",
        ] {
            assert_eq!(open(bad.as_bytes()).unwrap_err(), Refusal::Json, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(&body);
        }

        #[test]
        fn every_element_is_an_event_or_refused(text in "\\{\"events\":\\[[\\[\\]{}\",:0-9a]{0,30}\\]\\}") {
            if let Ok(raw) = open(text.as_bytes()) {
                let times = Times { past_max: Duration::ZERO, future_max: Duration::ZERO };
                let batch = Batch::of((1, Source::default()), &raw, times, UnixMillis(0));
                prop_assert_eq!(batch.len(), raw.len());
            }
        }
    }
}
