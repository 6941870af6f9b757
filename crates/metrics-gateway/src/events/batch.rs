//! The events of one request, taken apart.

use std::collections::HashSet;

use storage::telemetry::intake::{Context, Event, Refused};

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

fn of_these(contexts: &[Context], events: &[Event]) -> Vec<Context> {
    let named: HashSet<i64> = events.iter().map(|event| event.context_id).collect();
    let own = contexts
        .iter()
        .filter(|context| named.contains(&context.id));
    own.cloned().collect()
}
