//! Which nodes have their stream in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::NodeId;
use tokio::sync::Notify;
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
    wake: Arc<Notify>,
    replaced: CancellationToken,
}

/// A stream's place in the registry; it leaves when dropped.
pub(crate) struct Seat {
    registry: Arc<Registry>,
    node: NodeId,
    number: u64,
    /// Fires when the node's sessions changed.
    pub(crate) wake: Arc<Notify>,
    /// Fires when the node connected anew.
    pub(crate) replaced: CancellationToken,
}

impl Registry {
    /// Seats a node's new stream; an older one of the same node is told to end.
    pub(crate) fn enter(self: &Arc<Self>, node: &NodeId) -> Seat {
        let mut streams = self.lock();
        streams.entered += 1;
        let number = streams.entered;
        let (wake, replaced) = (Arc::new(Notify::new()), CancellationToken::new());
        let entry = Entry {
            number,
            wake: wake.clone(),
            replaced: replaced.clone(),
        };
        if let Some(older) = streams.by_node.insert(node.clone(), entry) {
            older.replaced.cancel();
        }
        metrics::fleet_streams(streams.by_node.len());
        Seat {
            registry: self.clone(),
            node: node.clone(),
            number,
            wake,
            replaced,
        }
    }

    pub(crate) fn wake(&self, node: &NodeId) {
        if let Some(entry) = self.lock().by_node.get(node) {
            entry.wake.notify_one();
        }
    }

    pub(crate) fn wake_all(&self) {
        for entry in self.lock().by_node.values() {
            entry.wake.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Streams> {
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
    use super::*;

    #[test]
    fn a_new_stream_replaces_the_older_one_and_survives_its_end() {
        let registry = Arc::new(Registry::default());
        let node = NodeId::from_u128(1);
        let first = registry.enter(&node);
        let second = registry.enter(&node);
        assert!(first.replaced.is_cancelled());
        drop(first);
        assert!(!second.replaced.is_cancelled());
        assert_eq!(registry.lock().by_node.len(), 1);
        drop(second);
        assert!(registry.lock().by_node.is_empty());
    }
}
