//! One viewer of one session.

use std::sync::Arc;

use model::{SessionId, UnixMillis};
use serde_json::json;
use tokio::sync::broadcast;

use super::Live;
use crate::point::Point;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: &'static str,
    /// The newest point's time: what a viewer has seen when it has seen this.
    pub(crate) id: Option<i64>,
    /// JSON, shared by all viewers.
    pub(crate) data: Arc<str>,
}

/// A place among the viewers, until it is dropped.
pub(crate) struct Watch {
    /// Whether the points are only those that the viewer missed.
    pub(super) replay: bool,
    pub(super) points: Vec<Arc<Point>>,
    pub(super) stale: bool,
    pub(super) last: Option<UnixMillis>,
    pub(super) events: broadcast::Receiver<Event>,
    pub(super) session: SessionId,
    pub(super) live: Arc<Live>,
}

impl Event {
    pub(super) fn snapshot(points: &[Arc<Point>]) -> Self {
        let all: Vec<&Point> = points.iter().map(AsRef::as_ref).collect();
        Self {
            name: "snapshot",
            id: points.last().map(|point| point.observed_at.0),
            data: text(&all),
        }
    }

    pub(super) fn sample(point: &Point) -> Self {
        Self {
            name: "sample",
            id: Some(point.observed_at.0),
            data: text(point),
        }
    }

    /// Says that the newest point is not what is now.
    pub(super) fn stale(last: Option<UnixMillis>) -> Self {
        Self {
            name: "stale",
            id: None,
            data: text(&json!({ "observed_at": last })),
        }
    }
}

fn text(value: &impl serde::Serialize) -> Arc<str> {
    let text = serde_json::to_string(value);
    text.expect("points are plain numbers and words: they always serialize")
        .into()
}

impl Watch {
    /// What a new viewer gets first: what it missed, or everything. Dear; call it
    /// once, outside of any lock.
    pub(crate) fn first_events(&mut self) -> Vec<Event> {
        let points = std::mem::take(&mut self.points);
        let mut events: Vec<Event> = if self.replay {
            points.iter().map(|point| Event::sample(point)).collect()
        } else {
            vec![Event::snapshot(&points)]
        };
        if self.stale {
            events.push(Event::stale(self.last));
        }
        events
    }

    /// The next event; `None` when this viewer is too far behind.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await.ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.live.unwatch(&self.session);
    }
}

/// What `Last-Event-ID` says.
pub(crate) fn seen(last_event_id: &str) -> Option<UnixMillis> {
    last_event_id.trim().parse().ok().map(UnixMillis)
}
