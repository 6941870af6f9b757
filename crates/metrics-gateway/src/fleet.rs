//! What the nodes report of themselves, summed for Prometheus.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::telemetry::{NodeReport, NodeSample};
use model::{NodeId, UnixMillis};

use crate::metrics::{self, Totals};

/// A node silent for this long is not counted as reporting.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// A node silent for this long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The nodes heard of lately.
pub(crate) struct Fleet {
    nodes_max: usize,
    nodes: Mutex<HashMap<NodeId, Node>>,
}

struct Node {
    boot_id: String,
    sample: NodeSample,
    observed_at: UnixMillis,
    /// By our clock.
    heard_at: UnixMillis,
}

impl Fleet {
    pub(crate) fn new(nodes_max: usize) -> Self {
        Self {
            nodes_max,
            nodes: Mutex::default(),
        }
    }

    /// Takes a report; false when there is no place for another node or the
    /// report is older than the last one of its boot.
    pub(crate) fn accept(&self, report: &NodeReport, now: UnixMillis) -> bool {
        let mut nodes = self.lock();
        let known = nodes.get(&report.node_id);
        if known.is_none() && nodes.len() >= self.nodes_max {
            return false;
        }
        let same_boot = known.filter(|node| node.boot_id == report.boot_id);
        if same_boot
            .is_some_and(|node| node.observed_at >= report.observed_at && is_late(node, report))
        {
            return false;
        }
        let moved = moved(same_boot.map(|node| &node.sample), &report.node);
        metrics::node_reported(&report.node_id, moved, now);
        let node = Node {
            boot_id: report.boot_id.clone(),
            sample: report.node,
            observed_at: report.observed_at,
            heard_at: now,
        };
        nodes.insert(report.node_id.clone(), node);
        true
    }

    pub(crate) fn sweep(&self, now: UnixMillis) {
        let mut nodes = self.lock();
        nodes.retain(|_, node| now.since(node.heard_at) < FORGOTTEN_AFTER);
        let reporting = nodes
            .values()
            .filter(|node| now.since(node.heard_at) < SILENT_AFTER);
        let totals = reporting.fold(Totals::default(), |sum, node| Totals {
            nodes: sum.nodes + 1,
            publishers: sum.publishers + u64::from(node.sample.publishers),
            players: sum.players + u64::from(node.sample.players),
        });
        metrics::totals(totals);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the report was overtaken, as opposed to the node's clock being set back.
fn is_late(node: &Node, report: &NodeReport) -> bool {
    report.node.ingress_bytes_total < node.sample.ingress_bytes_total
        || report.node.egress_bytes_total < node.sample.egress_bytes_total
}

/// The bytes that came in and went out since the last report. Counters restart
/// with the boot; then all that they show is new.
fn moved(before: Option<&NodeSample>, now: &NodeSample) -> (u64, u64) {
    let before = before.copied().unwrap_or_default();
    (
        now.ingress_bytes_total
            .saturating_sub(before.ingress_bytes_total),
        now.egress_bytes_total
            .saturating_sub(before.egress_bytes_total),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::tests::report;

    fn sample(ingress: u64, egress: u64) -> NodeSample {
        NodeSample {
            ingress_bytes_total: ingress,
            egress_bytes_total: egress,
            ..NodeSample::default()
        }
    }

    #[test]
    fn counters_are_compared_within_a_boot_only() {
        assert_eq!(moved(Some(&sample(10, 20)), &sample(15, 20)), (5, 0));
        assert_eq!(moved(None, &sample(15, 20)), (15, 20));
    }

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
    fn an_overtaken_report_does_not_count_twice() {
        let fleet = Fleet::new(1);
        let (mut new, mut old) = (report(2000, "b"), report(1000, "b"));
        new.node = sample(20, 20);
        old.node = sample(10, 10);
        assert!(fleet.accept(&new, UnixMillis(2000)));
        assert!(!fleet.accept(&old, UnixMillis(2001)));
    }
}
