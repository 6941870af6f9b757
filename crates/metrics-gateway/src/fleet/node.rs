//! One node, as it tells of itself.

use model::UnixMillis;
use model::telemetry::{ForwardDelay, NodeReport, NodeSample};

use super::reasons::Reasons;
use super::total::Total;

const DELAYS: usize = ForwardDelay::BOUNDS_US.len() + 1;

/// Totals go on over restarts of the node.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    boot_id: String,
    observed_at: UnixMillis,
    /// By our clock.
    pub(super) heard_at: UnixMillis,
    pub(super) publishers: u32,
    pub(super) players: u32,
    pub(super) sessions_held: u32,
    pub(super) traffic: Traffic,
    pub(super) admitted: Total,
    pub(super) drops: Reasons,
    pub(super) refusals: Reasons,
    /// Absent while the node measures none.
    pub(super) delay: Option<Box<Delay>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Traffic {
    pub(super) ingress_bytes: Total,
    pub(super) egress_bytes: Total,
    pub(super) ingress_datagrams: Total,
    pub(super) egress_datagrams: Total,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Delay {
    pub(super) counts: [Total; DELAYS],
    pub(super) sum_us: Total,
}

/// The bytes that a report brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) ingress_bytes: u64,
    pub(crate) egress_bytes: u64,
}

impl Node {
    /// Takes a report; `None` when one after it was taken already.
    pub(super) fn advance(&mut self, report: &NodeReport, now: UnixMillis) -> Option<Moved> {
        let same_boot = self.boot_id == report.boot_id;
        if same_boot && self.observed_at >= report.observed_at && self.is_late(&report.node) {
            return None;
        }
        if !same_boot {
            self.restart();
            self.boot_id.clone_from(&report.boot_id);
        }
        let node = &report.node;
        self.observed_at = report.observed_at;
        self.heard_at = now;
        self.publishers = node.publishers;
        self.players = node.players;
        self.sessions_held = node.sessions_held;
        self.admitted.advance(node.admitted_total);
        self.drops.advance(&node.drops, same_boot);
        self.refusals.advance(&node.refusals, same_boot);
        if let Some(delay) = &node.forward_delay {
            self.delay.get_or_insert_default().advance(delay);
        }
        Some(self.traffic.advance(node))
    }

    /// Whether the report was overtaken, as opposed to the node's clock being set back.
    const fn is_late(&self, sample: &NodeSample) -> bool {
        sample.ingress_bytes_total < self.traffic.ingress_bytes.shown()
            || sample.egress_bytes_total < self.traffic.egress_bytes.shown()
    }

    /// Counters begin anew with a boot; then all that they show is new.
    fn restart(&mut self) {
        let traffic = &mut self.traffic;
        for total in [
            &mut traffic.ingress_bytes,
            &mut traffic.egress_bytes,
            &mut traffic.ingress_datagrams,
            &mut traffic.egress_datagrams,
            &mut self.admitted,
        ] {
            total.restart();
        }
        if let Some(delay) = &mut self.delay {
            delay.counts.iter_mut().for_each(Total::restart);
            delay.sum_us.restart();
        }
    }
}

impl Traffic {
    fn advance(&mut self, node: &NodeSample) -> Moved {
        self.ingress_datagrams.advance(node.ingress_datagrams_total);
        self.egress_datagrams.advance(node.egress_datagrams_total);
        Moved {
            ingress_bytes: self.ingress_bytes.advance(node.ingress_bytes_total),
            egress_bytes: self.egress_bytes.advance(node.egress_bytes_total),
        }
    }
}

impl Delay {
    fn advance(&mut self, delay: &ForwardDelay) {
        for (total, count) in self.counts.iter_mut().zip(delay.counts) {
            total.advance(count);
        }
        self.sum_us.advance(delay.sum_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::tests::report;

    fn moved(ingress_bytes: u64, egress_bytes: u64) -> Option<Moved> {
        Some(Moved {
            ingress_bytes,
            egress_bytes,
        })
    }

    fn told(at_ms: i64, boot: &str, bytes: u64) -> NodeReport {
        let mut report = report(at_ms, boot);
        report.node.ingress_bytes_total = bytes;
        report.node.egress_bytes_total = 2 * bytes;
        let mut delay = ForwardDelay::default();
        delay.record(std::time::Duration::from_micros(30), bytes);
        report.node.forward_delay = Some(delay);
        report
    }

    #[test]
    fn totals_go_on_over_boots() {
        let mut node = Node::default();
        let now = UnixMillis(1);
        assert_eq!(node.advance(&told(1000, "a", 10), now), moved(10, 20));
        assert_eq!(node.advance(&told(2000, "a", 15), now), moved(5, 10));
        // More than before: without its boot id nobody would notice.
        assert_eq!(node.advance(&told(3000, "b", 16), now), moved(16, 32));
        assert_eq!(node.traffic.ingress_bytes.get(), 31);
        let delay = node.delay.unwrap();
        assert_eq!((delay.counts[1].get(), delay.sum_us.get()), (31, 930));
    }

    #[test]
    fn an_overtaken_report_does_not_count_twice() {
        let mut node = Node::default();
        assert!(node.advance(&told(2000, "a", 20), UnixMillis(1)).is_some());
        assert_eq!(node.advance(&told(1000, "a", 10), UnixMillis(2)), None);
        // A clock that was set back is no older word.
        assert_eq!(
            node.advance(&told(1500, "a", 25), UnixMillis(3)),
            moved(5, 10)
        );
    }
}
