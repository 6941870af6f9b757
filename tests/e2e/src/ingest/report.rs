//! The figures of a run, for people and for programs.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::bench::{Plan, Turn};
use super::load::Acks;
use crate::bench::{median, rounded};

/// What was measured.
#[derive(Debug)]
pub struct Report {
    pub(super) machine: Value,
    pub(super) plan: Plan,
    pub(super) event_bytes: usize,
    pub(super) turns: Vec<Turn>,
    pub(super) acks: Acks,
    /// The most that the gateway ever had.
    pub(super) resident_bytes: u64,
}

const VS_FLOOR_MIN: f64 = 0.5;
const VS_PEER_MIN: f64 = 20.0;
const ACK_P99_MS_MAX: f64 = 100.0;

impl Report {
    /// Whether every bar is met; that of the peer if there is one.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.vs_floor() >= VS_FLOOR_MIN
            && self.vs_peer().is_none_or(|times| times >= VS_PEER_MIN)
            && self.acks.quantile_ms(0.99) < ACK_P99_MS_MAX
    }

    fn vs_floor(&self) -> f64 {
        self.median(|turn| turn.events_per_s / turn.floor)
    }

    fn vs_peer(&self) -> Option<f64> {
        self.plan.peer.as_ref()?;
        Some(self.median(|turn| turn.events_per_s / turn.peer.unwrap_or(f64::NAN)))
    }

    fn median(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(of).collect())
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let figures = self.figures().into_iter();
        let mut json: Value = figures
            .map(|(name, value)| (name.to_owned(), json!(rounded(value))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        json["batch"] = json!(self.plan.batch);
        json["connections"] = json!(self.plan.connections);
        json["event_bytes"] = json!(self.event_bytes);
        json["turns"] = json!(self.turns.iter().map(Turn::to_json).collect::<Vec<_>>());
        json["seconds"] = json!(self.plan.length.as_secs_f64());
        json["limits"] = json!({
            "vs_floor": VS_FLOOR_MIN, "vs_peer": VS_PEER_MIN, "ack_p99_ms": ACK_P99_MS_MAX,
        });
        json["machine"] = self.machine.clone();
        json["meets_bars"] = json!(self.meets_bars());
        json
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        let mut figures = vec![
            ("events_per_s", self.median(|turn| turn.events_per_s)),
            ("floor_events_per_s", self.median(|turn| turn.floor)),
            ("vs_floor", self.vs_floor()),
            ("ack_p50_ms", self.acks.quantile_ms(0.5)),
            ("ack_p99_ms", self.acks.quantile_ms(0.99)),
            ("ack_max_ms", self.acks.quantile_ms(1.0)),
            ("resident_peak_mb", self.resident_bytes as f64 / 1e6),
        ];
        if let Some(times) = self.vs_peer() {
            let peer = self.median(|turn| turn.peer.unwrap_or(f64::NAN));
            figures.extend([("peer_events_per_s", peer), ("vs_peer", times)]);
        }
        figures
    }
}

impl Turn {
    fn to_json(&self) -> Value {
        json!({
            "floor_events_per_s": rounded(self.floor),
            "events_per_s": rounded(self.events_per_s),
            "peer_events_per_s": self.peer.map(rounded),
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "events of {} bytes in batches of {} by {} connections; medians of {} turns of {} s; \
             acknowledgements at half of it; PostgreSQL, gateway and senders on the same cores",
            self.event_bytes,
            self.plan.batch,
            self.plan.connections,
            self.turns.len(),
            self.plan.length.as_secs_f64()
        )?;
        for (name, value) in self.figures() {
            writeln!(f, "{name:<20} {}", rounded(value))?;
        }
        let met = if self.meets_bars() { "met" } else { "NOT met" };
        writeln!(
            f,
            "bars (at least {VS_FLOOR_MIN} of the floor and {VS_PEER_MIN} of the peer, below \
             {ACK_P99_MS_MAX} ms): {met}"
        )
    }
}
