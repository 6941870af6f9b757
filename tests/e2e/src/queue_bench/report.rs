//! The figures of a run, for people and for programs.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::ledger::Floor;

use super::Plan;
use super::latency::Latency;
use super::river::Figures as River;
use super::throughput::Rates;
use crate::bench::rounded;

/// What was measured.
#[derive(Debug)]
pub struct Report {
    pub(super) machine: Value,
    pub(super) plan: Plan,
    pub(super) noise: Latency,
    pub(super) floor: Floor,
    pub(super) free: Rates,
    pub(super) start: Latency,
    pub(super) river: Option<River>,
    /// Jobs done beside the open transaction before measuring.
    pub(super) aged: u64,
    pub(super) held_for: Duration,
    pub(super) beside: Rates,
    pub(super) start_beside: Latency,
}

const NOOP_PER_S_MIN: f64 = 10_000.0;
const ENQUEUE_PER_S_MIN: f64 = 50_000.0;
const START_P99_MS_MAX: f64 = 50.0;
const LOSS_RATIO_MAX: f64 = 0.2;

impl Report {
    /// Whether every bar is met.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.free.noop_per_s >= NOOP_PER_S_MIN
            && self.free.enqueue_per_s >= ENQUEUE_PER_S_MIN
            && self.start.quantile_ms(0.99) < START_P99_MS_MAX
            && self.loss_ratio() < LOSS_RATIO_MAX
    }

    /// The share of its speed that the engine loses beside an open transaction.
    fn loss_ratio(&self) -> f64 {
        (1.0 - self.beside.noop_per_s / self.free.noop_per_s).max(0.0)
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let figures = self.figures().into_iter();
        let mut json: Value = figures
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<serde_json::Map<_, _>>()
            .into();
        if let Some(river) = &self.river {
            json["river_noop_per_s"] = json!(rounded(river.noop_per_s));
            json["river_version"] = json!(river.version);
        }
        json["jobs"] = json!(self.plan.jobs);
        json["turns"] = json!(self.plan.turns);
        json["limits"] = json!({
            "noop_per_s": NOOP_PER_S_MIN,
            "enqueue_per_s": ENQUEUE_PER_S_MIN,
            "start_p99_ms": START_P99_MS_MAX,
            "held_xmin_loss_ratio": LOSS_RATIO_MAX,
        });
        json["machine"] = self.machine.clone();
        json["meets_bars"] = json!(self.meets_bars());
        json
    }

    fn figures(&self) -> [(&'static str, Value); 16] {
        let (start, beside) = (&self.start, &self.start_beside);
        [
            ("noop_per_s", self.free.noop_per_s),
            ("enqueue_per_s", self.free.enqueue_per_s),
            ("start_p50_ms", start.quantile_ms(0.5)),
            ("start_p99_ms", start.quantile_ms(0.99)),
            ("start_max_ms", start.quantile_ms(1.0)),
            ("held_xmin_loss_ratio", self.loss_ratio()),
            ("held_noop_per_s", self.beside.noop_per_s),
            ("noop_cpu_us", self.free.noop_cpu_us),
            ("held_noop_cpu_us", self.beside.noop_cpu_us),
            ("held_enqueue_per_s", self.beside.enqueue_per_s),
            ("held_start_p99_ms", beside.quantile_ms(0.99)),
            ("held_seconds", self.held_for.as_secs_f64()),
            ("held_jobs_before", self.aged as f64),
            ("floor_insert_per_s", self.floor.inserts_per_s),
            ("floor_claim_per_s", self.floor.claims_per_s),
            ("timer_noise_p99_ms", self.noise.quantile_ms(0.99)),
        ]
        .map(|(name, value)| (name, json!(rounded(value))))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "medians of {} turns of {} jobs, PostgreSQL and engine on the same cores",
            self.plan.turns, self.plan.jobs
        )?;
        for (name, value) in self.figures() {
            writeln!(f, "{name:<24} {value}")?;
        }
        if let Some(river) = &self.river {
            let rate = rounded(river.noop_per_s);
            writeln!(f, "{:<24} {rate}, {}", "river_noop_per_s", river.version)?;
        }
        let met = if self.meets_bars() { "met" } else { "NOT met" };
        writeln!(
            f,
            "bars (at least {NOOP_PER_S_MIN} jobs and {ENQUEUE_PER_S_MIN} enqueued a second, \
             {START_P99_MS_MAX} ms to the start, {LOSS_RATIO_MAX} lost): {met}"
        )
    }
}
