//! Which nodes have their stream in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{NodeId, UnixMillis};
use storage::control::nodes::Fingerprint;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// The streams of this process, one a node.
#[derive(Default)]
pub(crate) struct Registry {
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    by_node: BTreeMap<NodeId, Entry>,
    entered: u64,
}

struct Entry {
    number: u64,
    line: Arc<Line>,
}

/// What a stream and those who look after all streams know of each other.
#[derive(Default)]
pub(crate) struct Line {
    /// Fires when there may be something to tell the node.
    pub(crate) wake: Notify,
    /// Fires when the node connected anew, to whichever replica.
    pub(crate) replaced: CancellationToken,
    /// Fires when the node was not heard for too long.
    pub(crate) silent: CancellationToken,
    state: Mutex<LineState>,
}

#[derive(Default)]
struct LineState {
    /// Stands for what the node was told; none: not all of it.
    told: Option<Fingerprint>,
    /// When the first of its leases is half used up.
    renew_at: Option<UnixMillis>,
    heard_at: Option<Instant>,
}

impl Line {
    /// The node was heard.
    pub(crate) fn heard(&self, now: Instant) {
        self.lock().heard_at = Some(now);
    }

    /// The node was told what this stands for, and is to be told again at this time.
    pub(crate) fn told(&self, fingerprint: Fingerprint, renew_at: Option<UnixMillis>) {
        let mut state = self.lock();
        state.told = Some(fingerprint);
        state.renew_at = renew_at;
    }

    /// The node may not know all that it should.
    pub(crate) fn untold(&self) {
        self.lock().told = None;
    }

    /// Whether there may be something to tell the node.
    pub(crate) fn is_due(&self, wanted: Option<Fingerprint>, now: UnixMillis) -> bool {
        let state = self.lock();
        state.told.is_none()
            || state.told != wanted
            || state.renew_at.is_some_and(|renew_at| renew_at <= now)
    }

    fn is_silent(&self, since: Instant) -> bool {
        self.lock().heard_at.is_some_and(|heard| heard < since)
    }

    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's place in the registry; it leaves when dropped.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    node: NodeId,
    number: u64,
    pub(crate) line: Arc<Line>,
}

impl Registry {
    /// Seats a node's new stream; an older one of the same node is told to end.
    pub(crate) fn enter(self: &Arc<Self>, node: &NodeId) -> Seat {
        let mut streams = self.lock();
        streams.entered += 1;
        let number = streams.entered;
        let line = Arc::new(Line::default());
        let entry = Entry {
            number,
            line: line.clone(),
        };
        if let Some(older) = streams.by_node.insert(node.clone(), entry) {
            older.line.replaced.cancel();
        }
        metrics::fleet_streams(streams.by_node.len());
        Seat {
            registry: self.clone(),
            node: node.clone(),
            number,
            line,
        }
    }

    pub(crate) fn wake(&self, node: &NodeId) {
        if let Some(entry) = self.lock().by_node.get(node) {
            entry.line.wake.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        for entry in self.lock().by_node.values() {
            entry.line.wake.notify_one();
        }
    }

    /// Every node with its stream.
    pub(crate) fn lines(&self) -> Vec<(NodeId, Arc<Line>)> {
        let streams = self.lock();
        let lines = streams.by_node.iter();
        lines
            .map(|(node, entry)| (node.clone(), entry.line.clone()))
            .collect()
    }

    /// Ends the streams of nodes that were last heard before `since`.
    pub(crate) fn end_silent(&self, since: Instant) {
        for entry in self.lock().by_node.values() {
            if entry.line.is_silent(since) {
                entry.line.silent.cancel();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        // Nothing in here panics half way.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut streams = self.registry.lock();
        let ours = streams
            .by_node
            .get(&self.node)
            .is_some_and(|entry| entry.number == self.number);
        if ours {
            streams.by_node.remove(&self.node);
        }
        metrics::fleet_streams(streams.by_node.len());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_new_stream_replaces_the_older_one_and_survives_its_end() {
        let registry = Arc::new(Registry::default());
        let node = NodeId::from_u128(1);
        let first = registry.enter(&node);
        let second = registry.enter(&node);
        assert!(first.line.replaced.is_cancelled());
        drop(first);
        assert!(!second.line.replaced.is_cancelled());
        assert_eq!(registry.lock().by_node.len(), 1);
        drop(second);
        assert!(registry.lock().by_node.is_empty());
    }

    #[test]
    fn a_stream_is_due_when_something_changed_or_has_to_be_said_again() {
        let line = Line::default();
        let (one, other) = (Fingerprint(1), Fingerprint(2));
        let now = UnixMillis(1000);
        assert!(line.is_due(Some(one), now), "nothing was told yet");
        line.told(one, Some(UnixMillis(2000)));
        assert!(!line.is_due(Some(one), now));
        assert!(line.is_due(Some(other), now));
        assert!(line.is_due(None, now), "the node is no longer enrolled");
        assert!(line.is_due(Some(one), UnixMillis(2000)), "to be renewed");
        line.untold();
        assert!(line.is_due(Some(one), now));
    }

    #[test]
    fn only_a_silent_stream_is_ended() {
        let registry = Arc::new(Registry::default());
        let seats = [1, 2, 3].map(|number| registry.enter(&NodeId::from_u128(number)));
        let now = Instant::now();
        seats[0].line.heard(now);
        seats[1].line.heard(now + Duration::from_secs(2));
        registry.end_silent(now + Duration::from_secs(1));
        let ended = seats.each_ref().map(|seat| seat.line.silent.is_cancelled());
        // The third has not begun yet.
        assert_eq!(ended, [true, false, false]);
    }
}
