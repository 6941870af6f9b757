//! The figures of a run, for people and for programs.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::{Plan, fleet, placement, starts};
use crate::bench::rounded;

/// What was measured.
#[derive(Debug)]
pub struct Report {
    pub(super) machine: Value,
    pub(super) plan: Plan,
    pub(super) fleet: fleet::Figures,
    pub(super) starts: starts::Figures,
    pub(super) placement: placement::Figures,
}

/// Bars of ten thousand nodes, and of a decision against a thousand.
const CPU_CORES_MAX: f64 = 1.0;
const RSS_MB_MAX: f64 = 400.0;
const PLACEMENT_P99_MS_MAX: f64 = 1.0;

impl Report {
    /// Whether every bar is met, and every heartbeat of every node was answered.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.fleet.cpu_cores <= CPU_CORES_MAX
            && self.fleet.rss_mb <= RSS_MB_MAX
            && self.fleet.heartbeats_unanswered == 0
            && self.fleet.streams_lost == 0
            && self.placement.p99_ms <= PLACEMENT_P99_MS_MAX
    }

    /// The report for programs. The names say the size of the usual run; `nodes` and
    /// `start_nodes` say that of this one.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json: Value = self
            .figures()
            .into_iter()
            .collect::<serde_json::Map<_, _>>()
            .into();
        json["nodes"] = json!(self.plan.nodes);
        json["start_nodes"] = json!(self.plan.start_nodes);
        json["seconds"] = json!(self.plan.length.as_secs());
        json["limits"] = json!({
            "nodes10k_cpu_cores": CPU_CORES_MAX,
            "nodes10k_rss_mb": RSS_MB_MAX,
            "placement1k_p99_ms": PLACEMENT_P99_MS_MAX,
        });
        json["machine"] = self.machine.clone();
        json["meets_bars"] = json!(self.meets_bars());
        json
    }

    fn figures(&self) -> Vec<(String, Value)> {
        let (fleet, starts, placement) = (&self.fleet, &self.starts, &self.placement);
        let figures = [
            ("nodes10k_cpu_cores", fleet.cpu_cores),
            ("nodes10k_rss_mb", fleet.rss_mb),
            ("rss_empty_mb", fleet.rss_empty_mb),
            ("heartbeat_p50_ms", fleet.heartbeat_p50_ms),
            ("heartbeat_p99_ms", fleet.heartbeat_p99_ms),
            ("heartbeat_max_ms", fleet.heartbeat_max_ms),
            ("heartbeats_per_s", fleet.heartbeats_per_s),
            ("heartbeats_unanswered", fleet.heartbeats_unanswered as f64),
            ("streams_lost", f64::from(fleet.streams_lost)),
            ("connect_s", fleet.connect_s),
            ("postgres_cpu_cores", fleet.postgres_cpu_cores),
            ("simulation_cpu_cores", fleet.simulation_cpu_cores),
            ("placement1k_p50_ms", placement.p50_ms),
            ("placement1k_p99_ms", placement.p99_ms),
            ("placement1k_from_due_p99_ms", placement.from_due_p99_ms),
            ("placements_per_s", placement.per_s),
            ("starts_per_s", starts.starts_per_s),
            ("start_p50_ms", starts.start_p50_ms),
            ("start_p99_ms", starts.start_p99_ms),
            ("start_cpu_cores", starts.start_cpu_cores),
            ("assigned_after_s", starts.assigned_after_s),
        ];
        let named = figures.map(|(name, value)| (name.to_owned(), json!(rounded(value))));
        named.into()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} nodes for {:?}; starts and decisions against {}",
            self.plan.nodes, self.plan.length, self.plan.start_nodes
        )?;
        for (name, value) in self.figures() {
            writeln!(f, "{name:<28} {value}")?;
        }
        let met = if self.meets_bars() { "met" } else { "NOT met" };
        writeln!(
            f,
            "bars (at most {CPU_CORES_MAX} core, {RSS_MB_MAX} MB, {PLACEMENT_P99_MS_MAX} ms a decision): {met}"
        )
    }
}
