//! The fleet for Prometheus: what nodes report of themselves, so that nobody has to reach
//! them, and what they are to the control plane.
//!
//! A node's series go away with the node. Counters go on over its restarts.

mod node;
mod page;
mod reasons;
mod total;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::node::NodeFacts;
use model::telemetry::NodeReport;
use model::{NodeId, UnixMillis};
use service_kit::exposition::Exposition;

use crate::metrics::{self, Totals};
pub(crate) use node::Moved;
use node::Node;

/// A node silent for this long is not counted as reporting.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// A node silent for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);
/// What the control plane said longer ago is not shown: it says nothing of now.
const FACTS_AGE_MAX: Duration = Duration::from_secs(60);

/// The nodes heard or told of lately.
pub(crate) struct Fleet {
    nodes_max: usize,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    /// A page is written without holding up reports: a node that changes meanwhile is copied.
    reported: BTreeMap<NodeId, Arc<Node>>,
    /// As the control plane last told.
    facts: Option<Arc<Facts>>,
}

struct Facts {
    told_at: UnixMillis,
    nodes: BTreeMap<NodeId, NodeFacts>,
}

impl Fleet {
    pub(crate) fn new(nodes_max: usize) -> Self {
        Self {
            nodes_max,
            state: Mutex::default(),
        }
    }

    /// Takes a report; false when there is no place for another node or the
    /// report is older than the last one of its boot.
    pub(crate) fn accept(&self, report: &NodeReport, now: UnixMillis) -> bool {
        let mut state = self.lock();
        let is_known = state.reported.contains_key(&report.node_id);
        if !is_known && state.reported.len() >= self.nodes_max {
            return false;
        }
        let node = state.reported.entry(report.node_id.clone()).or_default();
        let moved = Arc::make_mut(node).advance(report, now);
        if let Some(moved) = moved {
            metrics::report_accepted(moved);
        }
        moved.is_some()
    }

    /// Takes what the control plane says of all nodes.
    pub(crate) fn learn(&self, nodes: Vec<NodeFacts>, now: UnixMillis) {
        let nodes = nodes.into_iter().take(self.nodes_max);
        let nodes = nodes.map(|node| (node.node_id.clone(), node)).collect();
        let facts = Facts {
            told_at: now,
            nodes,
        };
        self.lock().facts = Some(Arc::new(facts));
    }

    pub(crate) fn sweep(&self, now: UnixMillis) {
        let mut state = self.lock();
        if state
            .facts
            .as_ref()
            .is_some_and(|facts| now.since(facts.told_at) > FACTS_AGE_MAX)
        {
            state.facts = None;
        }
        let State { reported, facts } = &mut *state;
        reported.retain(|id, node| {
            let silent_for = now.since(node.heard_at);
            let is_gone = facts
                .as_ref()
                .is_some_and(|facts| !facts.nodes.contains_key(id));
            silent_for < FORGOTTEN_AFTER && !(is_gone && silent_for >= SILENT_AFTER)
        });
        let reporting = reported
            .values()
            .filter(|node| now.since(node.heard_at) < SILENT_AFTER);
        let totals = reporting.fold(Totals::default(), |sum, node| Totals {
            nodes: sum.nodes + 1,
            publishers: sum.publishers + u64::from(node.publishers),
            players: sum.players + u64::from(node.players),
        });
        metrics::totals(totals);
    }

    /// Writes every node's series, and the fleet's by state.
    pub(crate) fn show(&self, page: &mut Exposition, now: UnixMillis) {
        let state = self.lock().clone();
        page::write(&state, page, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::tests::report;

    #[test]
    fn nodes_are_bounded() {
        let fleet = Fleet::new(1);
        let mut other = report(1000, "b");
        other.node_id = NodeId::parse("nod_2").unwrap();
        assert!(fleet.accept(&report(1000, "b"), UnixMillis(1000)));
        assert!(!fleet.accept(&other, UnixMillis(1000)));
        fleet.sweep(UnixMillis(1000).plus(FORGOTTEN_AFTER));
        assert!(fleet.accept(&other, UnixMillis(1000)));
    }

    #[test]
    fn a_node_that_was_removed_goes_once_it_is_silent() {
        let fleet = Fleet::new(9);
        let knows = || fleet.lock().reported.len();
        fleet.accept(&report(1000, "b"), UnixMillis(1000));
        fleet.learn(Vec::new(), UnixMillis(1500));
        fleet.sweep(UnixMillis(2000));
        assert_eq!(knows(), 1, "it still reports");
        fleet.sweep(UnixMillis(1000).plus(SILENT_AFTER));
        assert_eq!(knows(), 0);
    }

    #[test]
    fn without_word_of_the_control_plane_silence_is_waited_out() {
        let fleet = Fleet::new(9);
        fleet.accept(&report(1000, "b"), UnixMillis(1000));
        fleet.learn(Vec::new(), UnixMillis(1000));
        let long_ago = UnixMillis(1001).plus(FACTS_AGE_MAX);
        fleet.accept(&report(1100, "b"), long_ago);
        fleet.sweep(long_ago.plus(SILENT_AFTER));
        assert_eq!(fleet.lock().reported.len(), 1);
        assert!(fleet.lock().facts.is_none());
    }
}
