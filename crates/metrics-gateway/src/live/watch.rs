//! One viewer of one session.

use std::sync::Arc;

use bytes::Bytes;
use model::{SessionId, UnixMillis};
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast;

use super::Live;
use crate::history::Recording;
use crate::point::Point;

/// One server-sent event, or a part of a long one, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event(pub(crate) Bytes);

/// A place among the viewers, until it is dropped.
pub(crate) struct Watch {
    /// The newest point that the viewer has, if it says so.
    pub(super) seen: Option<UnixMillis>,
    pub(super) recording: Recording,
    pub(super) stale: bool,
    pub(super) last: Option<UnixMillis>,
    pub(super) events: broadcast::Receiver<Event>,
    pub(super) session: SessionId,
    pub(super) live: Arc<Live>,
}

impl Event {
    /// Points of which none has been seen, whole.
    pub(super) fn snapshot(point: &Point) -> Self {
        Self::new("snapshot", Some(point.observed_at), &[point])
    }

    pub(super) fn sample(point: &Point) -> Self {
        Self::new("sample", Some(point.observed_at), point)
    }

    /// Says that the newest point is not what is now.
    pub(super) fn stale(last: Option<UnixMillis>) -> Self {
        Self::new("stale", None, &json!({ "observed_at": last }))
    }

    /// A comment, so that nobody takes a quiet stream for a dead one.
    pub(crate) fn keep_alive() -> Self {
        Self(Bytes::from_static(b":\n\n"))
    }

    /// An event's id is its newest point's time: what a viewer has seen when it has
    /// seen this.
    fn new(name: &str, id: Option<UnixMillis>, data: &impl Serialize) -> Self {
        Self(format!("{}{}\n\n", head(name, id), text(data)).into())
    }
}

fn head(name: &str, id: Option<UnixMillis>) -> String {
    let id = id.map(|id| format!("id: {}\n", id.0));
    format!("event: {name}\n{}data: ", id.unwrap_or_default())
}

fn text(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value);
    text.expect("points are plain numbers and words: they always serialize")
}

impl Watch {
    /// What a new viewer gets first: what it missed, or everything. Made piece by
    /// piece as it is taken, outside of any lock, so that a long history is never
    /// whole in memory.
    pub(crate) fn opening(&mut self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let recording = std::mem::take(&mut self.recording);
        let stale = self.stale.then(|| Event::stale(self.last).0);
        let missed = self.seen.and_then(|seen| recording.after(seen));
        let (replay, snapshot) = match missed {
            Some((first, later)) => (Some(replay(first, later)), None),
            None => (None, Some(snapshot(recording, self.last))),
        };
        let replay = replay.into_iter().flatten();
        replay.chain(snapshot.into_iter().flatten()).chain(stale)
    }

    /// The next event; `None` when this viewer is too far behind.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await.ok()
    }
}

/// A `sample` for each point.
fn replay(first: Vec<Arc<Point>>, later: Recording) -> impl Iterator<Item = Bytes> {
    let chunks = std::iter::once(first).chain(later.chunks());
    chunks.map(|points| {
        let samples = points.iter().map(|point| Event::sample(point).0);
        samples.flatten().collect()
    })
}

/// One `snapshot` of all points: its data is an array, and each piece a part of it.
fn snapshot(recording: Recording, last: Option<UnixMillis>) -> impl Iterator<Item = Bytes> {
    let head = Bytes::from(head("snapshot", last) + "[");
    let mut is_first = true;
    let points = recording.chunks().map(move |points| {
        let mut piece = String::new();
        for point in points {
            if !std::mem::take(&mut is_first) {
                piece.push(',');
            }
            piece.push_str(&text(&*point));
        }
        Bytes::from(piece)
    });
    let tail = Bytes::from_static(b"]\n\n");
    std::iter::once(head).chain(points).chain([tail])
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
