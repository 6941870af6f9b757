//! What a flood did, and the bars that it is held against.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Called, Carried, Sent, Speech};
use crate::machine;

/// What came of a flood.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What the flood was of.
    pub speech: Speech,
    /// Where it seemed to come from.
    pub sources: &'static str,
    /// The flood itself.
    pub sent: Sent,
    /// The stream that ran meanwhile.
    pub carried: Carried,
    /// Those that wanted in meanwhile.
    pub called: Vec<Called>,
    /// Bytes of memory before the flood.
    pub resident_before: u64,
    /// The same at its end.
    pub resident_after: u64,
    /// Datagrams that the kernel threw away before the node saw them.
    pub kernel_drops: u64,
    /// Datagrams that the node dropped while it was flooded, by reason.
    pub dropped: Vec<(String, f64)>,
    /// Bytes sent to addresses that proved nothing, and taken from them.
    pub unproven: [f64; 2],
}

/// A figure, and what it may be at most.
type Bar = (&'static str, f64, f64);

const MIB: f64 = (1 << 20) as f64;
const GROWTH_MIB_MAX: f64 = 4.0;

impl Finding {
    /// Every figure that is promised, with its limit.
    #[must_use]
    pub fn bars(&self) -> [Bar; 6] {
        let missing = self.carried.sent - self.carried.received.min(self.carried.sent);
        let growth = self.resident_after as f64 - self.resident_before as f64;
        let [sent, taken] = self.unproven;
        [
            ("stream_packets_missing", missing as f64, 0.0),
            ("stream_packets_damaged", self.carried.damaged as f64, 0.0),
            ("memory_growth_mib", growth / MIB, GROWTH_MIB_MAX),
            ("unproven_reply_ratio", sent / taken.max(1.0), 1.0),
            ("callers_shut_out", self.shut_out() as f64, 0.0),
            ("links_lost", self.carried.links_lost as f64, 0.0),
        ]
    }

    /// Whether the flood did no harm: a stream ran, and every bar is met.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        let is_met = |(_, value, limit): Bar| value <= limit;
        self.carried.received > 0 && self.bars().into_iter().all(is_met)
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let bars = self.bars();
        let values = bars.map(|(name, value, _)| (name.to_owned(), json!(value)));
        let limits = bars.map(|(name, _, limit)| (name.to_owned(), json!(limit)));
        let (noun, dropped) = (self.speech.noun(), self.dropped.iter().cloned());
        let mut report = json!({
            "bars": values.into_iter().collect::<Map<_, _>>(),
            "limits": limits.into_iter().collect::<Map<_, _>>(),
            "sources": self.sources,
            "dropped": dropped.map(|(reason, count)| (reason, json!(count))).collect::<Map<_, _>>(),
            "kernel_drops": self.kernel_drops,
            "stream": {
                "packets_sent": self.carried.sent,
                "packets_received": self.carried.received,
                "packets_retransmitted_to_node": self.carried.retransmitted,
            },
            "memory_mib": {
                "before": self.resident_before as f64 / MIB,
                "after": self.resident_after as f64 / MIB,
            },
            "unproven_bytes": { "sent": self.unproven[0], "taken": self.unproven[1] },
            "callers_let_in_after_ms": self.called.iter().map(milliseconds).collect::<Vec<_>>(),
            "machine": machine::describe(),
        });
        report[format!("{noun}_sent")] = json!(self.sent.datagrams);
        report[format!("{noun}_per_second")] = json!(self.per_second());
        report
    }

    fn per_second(&self) -> f64 {
        let seconds = self.sent.elapsed.max(Duration::from_millis(1));
        self.sent.datagrams as f64 / seconds.as_secs_f64()
    }

    fn shut_out(&self) -> usize {
        let is_out = |called: &&Called| called.let_in_after.is_none();
        self.called.iter().filter(is_out).count()
    }
}

/// Null for who was not let in.
fn milliseconds(called: &Called) -> Option<f64> {
    let after = called.let_in_after?;
    Some(after.as_secs_f64() * 1000.0)
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {}, {:.0} a second, from {}; {} dropped by the kernel",
            self.sent.datagrams,
            self.speech.noun(),
            self.per_second(),
            self.sources,
            self.kernel_drops
        )?;
        writeln!(
            f,
            "stream: {} packets sent, {} received, {} of them sent again to the node",
            self.carried.sent, self.carried.received, self.carried.retransmitted
        )?;
        writeln!(
            f,
            "memory: {:.1} MiB, then {:.1} MiB",
            self.resident_before as f64 / MIB,
            self.resident_after as f64 / MIB
        )?;
        write!(f, "dropped:")?;
        for (reason, count) in &self.dropped {
            write!(f, " {count:.0} {reason}")?;
        }
        writeln!(f)?;
        let [sent, taken] = self.unproven;
        writeln!(
            f,
            "unproven addresses: {sent:.0} bytes sent to them, {taken:.0} taken from them"
        )?;
        write!(
            f,
            "callers: {} of {} let in, after ms:",
            self.called.len() - self.shut_out(),
            self.called.len()
        )?;
        for after in self.called.iter().filter_map(milliseconds) {
            write!(f, " {after:.0}")?;
        }
        writeln!(f)?;
        for (name, value, limit) in self.bars() {
            writeln!(f, "{name:<24} {value:>10.3}  at most {limit}")?;
        }
        Ok(())
    }
}
