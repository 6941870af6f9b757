//! The events of one request, taken apart.

use std::collections::HashSet;

use model::UnixMillis;
use serde_json::value::RawValue;
use storage::telemetry::intake::{Context, Event, Refused};

use super::event::{self, Fault, Times};
use super::wire::Wire;

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

impl Batch {
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

/// Events of one request on their way into a batch.
pub(super) struct Taking {
    app_id: i32,
    times: Times,
    now: UnixMillis,
    /// The numbers of the contexts that the batch has.
    known: HashSet<i64>,
    batch: Batch,
}

impl Taking {
    /// Has none yet, and room for so many.
    pub(super) fn begin(
        (app_id, source): (i32, Source),
        events: usize,
        times: Times,
        now: UnixMillis,
    ) -> Self {
        Self {
            app_id,
            times,
            now,
            known: HashSet::new(),
            batch: Batch {
                source,
                events: Vec::with_capacity(events),
                ..Batch::default()
            },
        }
    }

    /// All that was taken.
    pub(super) fn end(self) -> Batch {
        self.batch
    }

    /// Says what is wrong with which of them.
    pub(super) fn take_all(&mut self, events: &[Wire<'_>]) -> Vec<(usize, Fault)> {
        let taken = events.iter().map(|wire| self.take(wire)).enumerate();
        taken
            .filter_map(|(place, taken)| taken.err().map(|fault| (place, fault)))
            .collect()
    }

    /// Takes them one by one; what is none is kept beside them.
    pub(super) fn take_apart(&mut self, events: &[&RawValue]) {
        for raw in events {
            let taken = Wire::parse(raw.get()).and_then(|wire| self.take(&wire));
            if let Err(fault) = taken {
                self.refuse(raw, fault);
            }
        }
    }

    fn take(&mut self, wire: &Wire<'_>) -> Result<(), Fault> {
        let (event, shared) = event::read(self.app_id, wire, (self.times, self.now))?;
        if self.known.insert(shared.id) {
            self.batch.contexts.push(shared.context(self.app_id));
        }
        self.batch.events.push(event);
        Ok(())
    }

    /// Keeps what is no event, as it came.
    pub(super) fn refuse(&mut self, raw: &RawValue, fault: Fault) {
        let refused = event::refused(self.app_id, raw.get(), fault);
        self.batch.refused.push(refused);
    }
}

fn of_these(contexts: &[Context], events: &[Event]) -> Vec<Context> {
    let named: HashSet<i64> = events.iter().map(|event| event.context_id).collect();
    let own = contexts
        .iter()
        .filter(|context| named.contains(&context.id));
    own.cloned().collect()
}
