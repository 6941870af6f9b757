//! What the attack came to, and the bars that it is held against.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::{Alone, Plan, Seen};
use crate::bench::rounded;
use crate::ingest::load::Acks;

/// What came of it.
#[derive(Debug)]
pub struct Finding {
    pub(super) plan: Plan,
    pub(super) seen: Seen,
    pub(super) alone: Alone,
    /// Of those who mean well, before anybody else came.
    pub(super) calm: Acks,
    /// The same during the attack.
    pub(super) attacked: Acks,
    /// The most memory that the gateway had, bytes.
    pub(super) peak_bytes: u64,
}

const RESIDENT_MB_MAX: f64 = 300.0;
/// Of the forged requests that were to be sent, the share that must have been.
const FORGED_SHARE_MIN: f64 = 0.95;

impl Finding {
    /// Whether nobody was told anything but what he should be, in bounded memory.
    #[must_use]
    pub fn does_no_harm(&self) -> bool {
        self.seen.wrong.is_empty()
            && self.seen.telling.is_empty()
            && self.resident_mb() < RESIDENT_MB_MAX
    }

    /// The same, and the attack was as heavy as it should be.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        let wanted = f64::from(self.plan.forged_per_s) * FORGED_SHARE_MIN;
        self.does_no_harm() && self.forged_per_s() >= wanted
    }

    fn forged_per_s(&self) -> f64 {
        self.seen.forged as f64 / self.plan.length.as_secs_f64()
    }

    fn resident_mb(&self) -> f64 {
        self.peak_bytes as f64 / 1e6
    }

    fn figures(&self) -> [(&'static str, f64); 11] {
        [
            ("forged_per_s", self.forged_per_s()),
            ("alone_forged_per_s", self.alone.per_s),
            ("floor_forged_per_s", self.alone.floor_per_s),
            ("vs_floor", self.alone.per_s / self.alone.floor_per_s),
            ("odd_requests", self.seen.odd as f64),
            ("dawdlers_shut", self.seen.shut as f64),
            ("resident_peak_mb", self.resident_mb()),
            ("calm_ack_p50_ms", self.calm.quantile_ms(0.5)),
            ("calm_ack_p99_ms", self.calm.quantile_ms(0.99)),
            ("ack_p50_ms", self.attacked.quantile_ms(0.5)),
            ("ack_p99_ms", self.attacked.quantile_ms(0.99)),
        ]
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let figures = self.figures().into_iter();
        let mut json: Value = figures
            .map(|(name, value)| (name.to_owned(), json!(rounded(value))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        json["wrong_answers"] = json!(self.seen.wrong);
        json["telling_answers"] = json!(self.seen.telling);
        json["seconds"] = json!(self.plan.length.as_secs_f64());
        json["dawdlers"] = json!(self.plan.dawdlers);
        json["events_per_s"] = json!(self.plan.events_per_s);
        json["limits"] = json!({
            "forged_per_s": f64::from(self.plan.forged_per_s) * FORGED_SHARE_MIN,
            "resident_peak_mb": RESIDENT_MB_MAX,
        });
        json["meets_bars"] = json!(self.meets_bars());
        json
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} events a second of those who mean well, none of them refused, beside {} forged \
             requests a second, {} dawdlers, bombs, floods and batches that are wrong",
            self.plan.events_per_s, self.plan.forged_per_s, self.plan.dawdlers
        )?;
        for (name, value) in self.figures() {
            writeln!(f, "{name:<18} {}", rounded(value))?;
        }
        for (what, kinds) in [
            ("answered as they should not be", &self.seen.wrong),
            ("told what is behind", &self.seen.telling),
        ] {
            if !kinds.is_empty() {
                let kinds: Vec<&str> = kinds.iter().copied().collect();
                writeln!(f, "{what}: {}", kinds.join(", "))?;
            }
        }
        let met = if self.meets_bars() { "met" } else { "NOT met" };
        writeln!(
            f,
            "bars (every answer right, below {RESIDENT_MB_MAX} MB, as many forged as asked): {met}"
        )
    }
}
