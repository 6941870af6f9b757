//! The fleet as Prometheus reads it. To add a figure of a node, add its line to a table
//! below, its name and help to `metrics.rs`, and its row to docs/metrics/fleet.md.

use std::collections::BTreeMap;

use model::node::{BudgetFacts, NodeFacts, NodeState};
use model::telemetry::ForwardDelay;
use model::{NodeId, UnixMillis};
use service_kit::exposition::{Exposition, Kind, Metric};

use super::node::Node;
use super::total::Total;
use super::{Facts, State};
use crate::metrics::fleet as names;

/// One node: as it tells of itself, and as the control plane does.
#[derive(Default)]
struct Shown<'a> {
    reported: Option<&'a Node>,
    facts: Option<&'a NodeFacts>,
    /// How long ago the control plane told.
    facts_age_s: f64,
}

/// A figure of a node; absent when nobody knows it.
type Figure = fn(&Shown<'_>) -> Option<f64>;

const GAUGES: &[((&str, &str), Figure)] = &[
    (names::SESSIONS, |node| Some(node.facts?.sessions.into())),
    (names::SESSIONS_MAX, |node| {
        Some(node.facts?.sessions_max.into())
    }),
    (names::HEARTBEAT_AGE, |node| {
        Some(node.facts?.heartbeat_age?.as_secs_f64() + node.facts_age_s)
    }),
    (names::SESSIONS_HELD, |node| {
        Some(node.reported?.sessions_held.into())
    }),
    (names::PUBLISHERS, |node| {
        Some(node.reported?.publishers.into())
    }),
    (names::PLAYERS, |node| Some(node.reported?.players.into())),
    (names::LAST_REPORT, |node| {
        Some(seconds(node.reported?.heard_at))
    }),
    (names::BUDGET_LIMIT, |node| {
        Some(node.budget()?.limit_bytes? as f64)
    }),
    (names::BUDGET_USED, |node| {
        Some(node.budget()?.used_bytes? as f64)
    }),
    (names::BUDGET_PROJECTED, |node| {
        Some(node.budget()?.projected_ratio)
    }),
    (names::BUDGET_EXHAUSTION, |node| {
        Some(node.budget()?.exhausted_at.map_or(f64::INFINITY, seconds))
    }),
];

const COUNTERS: &[((&str, &str), Figure)] = &[
    (names::INGRESS_BYTES, |node| {
        Some(node.reported?.traffic.ingress_bytes.get() as f64)
    }),
    (names::EGRESS_BYTES, |node| {
        Some(node.reported?.traffic.egress_bytes.get() as f64)
    }),
    (names::INGRESS_DATAGRAMS, |node| {
        Some(node.reported?.traffic.ingress_datagrams.get() as f64)
    }),
    (names::EGRESS_DATAGRAMS, |node| {
        Some(node.reported?.traffic.egress_datagrams.get() as f64)
    }),
    (names::ADMISSIONS, |node| {
        Some(node.reported?.admitted.get() as f64)
    }),
];

/// Writes every metric of the fleet.
pub(super) fn write(state: &State, page: &mut Exposition, now: UnixMillis) {
    let mut writer = Writer::new(state, page, now);
    writer.each(names::INFO, Kind::Gauge, info);
    writer.each(names::STATE, Kind::Gauge, node_state);
    for (kind, figures) in [(Kind::Gauge, GAUGES), (Kind::Counter, COUNTERS)] {
        for (name, figure) in figures {
            writer.each(*name, kind, |metric, id, node| {
                if let Some(value) = figure(node) {
                    metric.series(&[("node", id)], value);
                }
            });
        }
    }
    writer.each(names::DROPS, Kind::Counter, |metric, id, node| {
        let reasons = node.reported.map(|node| node.drops.iter());
        by_reason(metric, id, reasons.into_iter().flatten());
    });
    writer.each(names::REFUSALS, Kind::Counter, |metric, id, node| {
        let reasons = node.reported.map(|node| node.refusals.iter());
        by_reason(metric, id, reasons.into_iter().flatten());
    });
    writer.each(names::FORWARD_DELAY, Kind::Histogram, forward_delay);
    let node_series_max = writer.node_series_max();
    totals(state.facts.as_deref(), page, now);
    of_itself(page, node_series_max);
}

/// Writes metrics node by node, and counts each node's series.
struct Writer<'a> {
    nodes: BTreeMap<&'a NodeId, (Shown<'a>, usize)>,
    page: &'a mut Exposition,
}

impl<'a> Writer<'a> {
    fn new(state: &'a State, page: &'a mut Exposition, now: UnixMillis) -> Self {
        let mut nodes: BTreeMap<_, (Shown<'_>, usize)> = BTreeMap::new();
        for (id, node) in &state.reported {
            nodes.entry(id).or_default().0.reported = Some(node);
        }
        if let Some(facts) = &state.facts {
            let facts_age_s = now.since(facts.told_at).as_secs_f64();
            for (id, node) in &facts.nodes {
                let shown = &mut nodes.entry(id).or_default().0;
                (shown.facts, shown.facts_age_s) = (Some(node), facts_age_s);
            }
        }
        Self { nodes, page }
    }

    fn each(
        &mut self,
        (name, help): (&'static str, &'static str),
        kind: Kind,
        write: impl Fn(&mut Metric<'_>, &str, &Shown<'_>),
    ) {
        let mut metric = self.page.metric(name, kind, help);
        for (id, (node, series)) in &mut self.nodes {
            let before = metric.written();
            write(&mut metric, id.as_str(), node);
            *series += metric.written() - before;
        }
    }

    fn node_series_max(&self) -> usize {
        let series = self.nodes.values().map(|(_, series)| *series);
        series.max().unwrap_or(0)
    }
}

impl Shown<'_> {
    fn budget(&self) -> Option<BudgetFacts> {
        self.facts?.budget
    }
}

fn info(metric: &mut Metric<'_>, id: &str, node: &Shown<'_>) {
    if let Some(facts) = node.facts {
        let labels = [
            ("node", id),
            ("name", facts.name.as_str()),
            ("region", facts.region.as_str()),
            ("version", facts.version.as_str()),
        ];
        metric.series(&labels, 1.0);
    }
}

/// A series for each state, so that one that is over ends at zero.
fn node_state(metric: &mut Metric<'_>, id: &str, node: &Shown<'_>) {
    if let Some(facts) = node.facts {
        for state in NodeState::ALL {
            let is_now = f64::from(u8::from(facts.state == *state));
            metric.series(&[("node", id), ("state", state.as_str())], is_now);
        }
    }
}

fn by_reason<'a>(metric: &mut Metric<'_>, id: &str, counts: impl Iterator<Item = (&'a str, u64)>) {
    for (reason, count) in counts {
        metric.series(&[("node", id), ("reason", reason)], count as f64);
    }
}

fn forward_delay(metric: &mut Metric<'_>, id: &str, node: &Shown<'_>) {
    if let Some(delay) = node.reported.and_then(|node| node.delay.as_deref()) {
        let bounds = ForwardDelay::BOUNDS_US.map(|bound| bound as f64 / 1e6);
        let counts = delay.counts.map(Total::get);
        let sum = delay.sum_us.get() as f64 / 1e6;
        metric.histogram(&[("node", id)], &bounds, &counts, sum);
    }
}

/// The fleet by state. Nothing of it is known while the control plane is away.
fn totals(facts: Option<&Facts>, page: &mut Exposition, now: UnixMillis) {
    let Some(facts) = facts else { return };
    let (name, help) = names::NODES_BY_STATE;
    let mut metric = page.metric(name, Kind::Gauge, help);
    for state in NodeState::ALL {
        let nodes = facts.nodes.values();
        let count = nodes.filter(|node| node.state == *state).count();
        metric.series(&[("state", state.as_str())], count as f64);
    }
    let (name, help) = names::SESSIONS_PLACED;
    let sessions = facts.nodes.values().map(|node| f64::from(node.sessions));
    page.metric(name, Kind::Gauge, help)
        .series(&[], sessions.sum());
    let (name, help) = names::FACTS_AGE;
    let age = now.since(facts.told_at).as_secs_f64();
    page.metric(name, Kind::Gauge, help).series(&[], age);
}

/// What this page costs.
fn of_itself(page: &mut Exposition, node_series_max: usize) {
    let (name, help) = names::NODE_SERIES_MAX;
    page.metric(name, Kind::Gauge, help)
        .series(&[], node_series_max as f64);
    let (name, help) = names::SERIES;
    // This one as well.
    let series = page.series() + 1;
    page.metric(name, Kind::Gauge, help)
        .series(&[], series as f64);
}

fn seconds(at: UnixMillis) -> f64 {
    at.0 as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use model::telemetry::ReasonCount;

    use super::*;
    use crate::fleet::Fleet;
    use crate::point::tests::report;

    /// What a node may cost; see docs/metrics/fleet.md.
    const NODE_SERIES_BUDGET: usize = 200;
    const NOW: UnixMillis = UnixMillis(1_763_700_000_000);

    fn counts(number: usize) -> Vec<ReasonCount> {
        let counts = (0..number).map(|number| ReasonCount {
            reason: format!("reason_{number}"),
            total: 1,
        });
        counts.collect()
    }

    fn facts(id: &str) -> NodeFacts {
        NodeFacts {
            node_id: NodeId::parse(id).unwrap(),
            name: "a \"name\"\nof two lines \\".to_owned(),
            region: model::Region::parse("eu-west").unwrap(),
            version: "1.0".to_owned(),
            state: NodeState::Draining,
            sessions: 3,
            sessions_max: 9,
            heartbeat_age: Some(Duration::from_secs(2)),
            budget: Some(BudgetFacts {
                limit_bytes: Some(1000),
                used_bytes: Some(10),
                projected_ratio: 0.5,
                exhausted_at: None,
            }),
        }
    }

    /// A node of which everything is known.
    fn everything(id: &str, reasons: usize) -> Fleet {
        let fleet = Fleet::new(9);
        let mut report = report(NOW.0, "b");
        report.node_id = NodeId::parse(id).unwrap();
        report.node.drops = counts(reasons);
        report.node.refusals = counts(reasons);
        report.node.forward_delay = Some(ForwardDelay::default());
        assert!(fleet.accept(&report, NOW));
        fleet.learn(vec![facts(id)], NOW.minus(Duration::from_secs(1)));
        fleet
    }

    fn shown(fleet: &Fleet) -> String {
        let mut page = Exposition::default();
        fleet.show(&mut page, NOW);
        page.into_text()
    }

    fn series_by_node(text: &str) -> HashMap<String, usize> {
        let mut series = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((_, rest)) = line.split_once("{node=\"") {
                let id = rest.split('"').next().unwrap().to_owned();
                *series.entry(id).or_default() += 1;
            }
        }
        series
    }

    #[test]
    fn a_node_stays_within_its_budget_whatever_it_says() {
        for reasons in [1, 48, 300] {
            let text = shown(&everything("nod_1", reasons));
            let series = series_by_node(&text)["nod_1"];
            assert!((40..=NODE_SERIES_BUDGET).contains(&series), "{series}");
            let line = format!("streamhaul_gateway_fleet_node_series_max {series}");
            assert!(text.lines().any(|shown| shown == line), "{text}");
            let all = text.lines().filter(|line| !line.starts_with('#')).count();
            assert!(text.contains(&format!("streamhaul_gateway_fleet_series {all}\n")));
        }
    }

    #[test]
    fn every_metric_has_help_and_a_label_cannot_break_out() {
        let text = shown(&everything("nod_1", 3));
        let named = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for name in named.map(|line| line.split(' ').next().unwrap()) {
            let help = format!("# HELP {name} ");
            let help = text.lines().find_map(|line| line.strip_prefix(&help));
            assert!(help.is_some_and(|help| help.ends_with('.')), "{name}");
        }
        let info = "streamhaul_gateway_node_info{node=\"nod_1\",name=\"a \\\"name\\\"\\nof two \
            lines \\\\\",region=\"eu-west\",version=\"1.0\"} 1";
        assert!(text.lines().any(|line| line == info), "{text}");
        for line in [
            r#"streamhaul_gateway_node_state{node="nod_1",state="draining"} 1"#,
            r#"streamhaul_gateway_node_state{node="nod_1",state="active"} 0"#,
            r#"streamhaul_gateway_node_heartbeat_age_seconds{node="nod_1"} 3"#,
            r#"streamhaul_gateway_node_budget_exhaustion_timestamp_seconds{node="nod_1"} +Inf"#,
            r#"streamhaul_gateway_fleet_nodes{state="draining"} 1"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
    }

    #[test]
    fn what_nobody_knows_is_not_shown() {
        let fleet = Fleet::new(9);
        fleet.learn(vec![facts("nod_2")], NOW);
        fleet.accept(&report(NOW.0, "b"), NOW);
        let series = series_by_node(&shown(&fleet));
        assert_eq!(series["nod_2"], 1 + NodeState::ALL.len() + 3 + 4);
        assert_eq!(series["nod_1"], 4 + COUNTERS.len());
        fleet.learn(Vec::new(), NOW);
        assert!(!shown(&fleet).contains("nod_2"), "it left");
    }
}
