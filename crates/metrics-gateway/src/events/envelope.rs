//! The envelope: `{"events":[…]}` with 1 to 1000 events.
//!
//! Mostly all of it is well-formed, and read in one go. Where it is not, each event is read by itself, so
//! that what is wrong with one is told of that one.

use std::fmt;
use std::marker::PhantomData;

use model::UnixMillis;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::batch::{Batch, EVENTS_MAX, Source, Taking};
use super::event::Times;
use super::refusal::Refusal;
use super::wire::Wire;

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Envelope<T> {
    events: Events<T>,
}

/// The events as they came, and whether there were more than a batch may have.
struct Events<T> {
    found: Vec<T>,
    is_too_many: bool,
}

/// The events of a body, not yet judged.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    body: &'a str,
    form: Form<'a>,
}

#[derive(Debug)]
enum Form<'a> {
    /// All have the form of events: they were read with the body, in one go.
    Whole(Vec<Wire<'a>>),
    /// One of them has not; each is to be read by itself.
    Apart(Vec<&'a RawValue>),
}

/// Opens a body.
pub(crate) fn open(body: &[u8]) -> Result<Opened<'_>, Refusal> {
    let body = std::str::from_utf8(body).map_err(|_| Refusal::Json)?;
    let form = match serde_json::from_str::<Envelope<Wire<'_>>>(body) {
        Ok(envelope) => Form::Whole(envelope.events.bounded()?),
        Err(_) => Form::Apart(apart(body)?),
    };
    Ok(Opened { body, form })
}

fn apart(body: &str) -> Result<Vec<&RawValue>, Refusal> {
    let envelope: Envelope<&RawValue> = serde_json::from_str(body).map_err(|_| Refusal::Json)?;
    envelope.events.bounded()
}

impl<T> Events<T> {
    fn bounded(self) -> Result<Vec<T>, Refusal> {
        if self.is_too_many {
            return Err(Refusal::BatchTooLarge);
        }
        if self.found.is_empty() {
            return Err(Refusal::BatchEmpty);
        }
        Ok(self.found)
    }
}

impl Opened<'_> {
    /// Events, and what was sent as such.
    pub(crate) fn len(&self) -> usize {
        match &self.form {
            Form::Whole(events) => events.len(),
            Form::Apart(events) => events.len(),
        }
    }

    /// Takes events apart; what is none is kept beside them, as it came.
    pub(crate) fn batch(
        self,
        (app_id, source): (i32, Source),
        times: Times,
        now: UnixMillis,
    ) -> Result<Batch, Refusal> {
        let mut taking = Taking::begin((app_id, source), self.len(), times, now);
        match &self.form {
            Form::Whole(events) => {
                let faults = taking.take_all(events);
                if !faults.is_empty() {
                    let raw = apart(self.body)?;
                    for (place, fault) in faults {
                        taking.refuse(raw[place], fault);
                    }
                }
            }
            Form::Apart(events) => taking.take_apart(events),
        }
        Ok(taking.end())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Events<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

/// Keeps no more than a batch may have, however many there are.
struct Bounded<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Events<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Events<T>, A::Error> {
        let mut found = Vec::new();
        while found.len() < EVENTS_MAX {
            match seq.next_element()? {
                Some(event) => found.push(event),
                None => {
                    return Ok(Events {
                        found,
                        is_too_many: false,
                    });
                }
            }
        }
        let mut is_too_many = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            is_too_many = true;
        }
        Ok(Events { found, is_too_many })
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

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);

    fn event(id: u32, time: &str, kind: &str) -> String {
        format!(
            r#"{{"schema_version":"1.0.0","event_id":"{id:032x}","timestamp":"{time}",
                "service":{{"name":"cam","version":"1","language":"rust"}},"user_id":"u",
                "environment":{{"os":"linux"}},"event":{{"type":{kind},"data":{{"a":[1]}}}}}}"#
        )
    }

    fn taken(opened: Opened<'_>) -> Batch {
        let day = Duration::from_secs(86_400);
        let times = Times {
            past_max: day,
            future_max: day,
        };
        opened.batch((1, Source::default()), times, NOW).unwrap()
    }

    #[test]
    fn events_are_taken_together_as_they_are_one_by_one() {
        let good = |id| event(id, "2025-10-09T08:53:20Z", "\"x\"");
        let old = event(3, "1970-01-01T00:00:00Z", "\"x\"");
        let malformed = event(4, "2025-10-09T08:53:20Z", "7");
        for (events, refused) in [
            (vec![good(1), good(2)], &[][..]),
            (vec![good(1), old.clone(), good(2)], &["too_old"]),
            (
                vec![good(1), malformed, old, good(2)],
                &["malformed", "too_old"],
            ),
        ] {
            let body = format!("{{\"events\":[{}]}}", events.join(","));
            let batch = taken(open(body.as_bytes()).unwrap());
            let form = Form::Apart(apart(&body).unwrap());
            assert_eq!(batch, taken(Opened { body: &body, form }));
            assert_eq!((batch.events.len(), batch.contexts.len()), (2, 1));
            let reasons: Vec<_> = batch.refused.iter().map(|it| it.reason).collect();
            assert_eq!(reasons, refused);
        }
    }

    proptest! {
        /// Whatever stands where a type or a time should.
        #[test]
        fn both_forms_take_the_same(
            times in prop::collection::vec(prop::option::of("[0-9TZ:-]{0,24}"), 1..4),
            kind in "\\PC{0,3}",
        ) {
            let kind = serde_json::to_string(&kind).unwrap();
            let events = times.iter().enumerate().map(|(id, time)| {
                event(id as u32, time.as_deref().unwrap_or("2025-10-09T08:53:20Z"), &kind)
            });
            let body = format!("{{\"events\":[{}]}}", events.collect::<Vec<_>>().join(","));
            let opened = open(body.as_bytes()).unwrap();
            prop_assert!(matches!(opened.form, Form::Whole(_)));
            let form = Form::Apart(apart(&body).unwrap());
            prop_assert_eq!(taken(opened), taken(Opened { body: &body, form }));
        }

        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(&body);
        }

        #[test]
        fn every_element_is_an_event_or_refused(text in "\\{\"events\":\\[[\\[\\]{}\",:0-9a]{0,30}\\]\\}") {
            if let Ok(opened) = open(text.as_bytes()) {
                let times = Times { past_max: Duration::ZERO, future_max: Duration::ZERO };
                let (events, source) = (opened.len(), Source::default());
                let batch = opened.batch((1, source), times, UnixMillis(0)).unwrap();
                prop_assert_eq!(batch.len(), events);
            }
        }
    }
}
