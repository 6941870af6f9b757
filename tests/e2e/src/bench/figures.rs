//! What one turn on one way amounts to, and the medians of several.

use serde_json::{Map, Value, json};

use super::generator::Outcome;
use super::payload::PAYLOAD_BYTES;

/// The figures of one turn. What divides by deliveries is 0 without any.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// Payloads that players got, a second.
    pub(super) packets_per_second: f64,
    /// The same in megabits.
    pub(super) mbps: f64,
    /// Payloads that players did not get, of those that were due: sent and lost,
    /// or never sent because the generator was too late.
    pub(super) loss_ratio: f64,
    /// Payloads that the generator was too late to send, of those due.
    pub(super) skipped_ratio: f64,
    /// Payloads sent again because the relay asked, of those due.
    pub(super) retransmitted_ratio: f64,
    /// Payloads that came a second time, of those due.
    pub(super) repeated_ratio: f64,
    /// Payloads that came after a later one, of those due.
    pub(super) late_ratio: f64,
    /// Connections that the relay ended.
    pub(super) closed: f64,
    /// CPU time of the processes on the way for 10⁹ payload bytes delivered.
    pub(super) cpu_seconds_per_gb: f64,
    /// The same for one payload.
    pub(super) us_per_packet: f64,
    /// Payloads delivered for a second of CPU time.
    pub(super) packets_per_core_second: f64,
    /// CPU time for a second of time: 1 is one core.
    pub(super) core_ratio: f64,
    /// Context switches for one payload delivered.
    pub(super) switches_per_packet: f64,
    /// Resident memory.
    pub(super) rss_mb: f64,
    /// Threads.
    pub(super) threads: f64,
    /// From the publisher's clock before it sends to the kernel's stamp at the
    /// player.
    pub(super) delay_p50_us: f64,
    /// The same for all but a hundredth.
    pub(super) delay_p99_us: f64,
    /// The same for all but a thousandth.
    pub(super) delay_p999_us: f64,
    /// CPU time of the generator for a second of time.
    pub(super) generator_core_ratio: f64,
}

/// Name, reader and writer of a figure.
type Field = (
    &'static str,
    fn(&Figures) -> f64,
    fn(&mut Figures) -> &mut f64,
);

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), |figures| figures.$name, |figures| &mut figures.$name)),*]
    };
}

const FIELDS: [Field; 19] = fields![
    packets_per_second,
    mbps,
    loss_ratio,
    skipped_ratio,
    retransmitted_ratio,
    repeated_ratio,
    late_ratio,
    closed,
    cpu_seconds_per_gb,
    us_per_packet,
    packets_per_core_second,
    core_ratio,
    switches_per_packet,
    rss_mb,
    threads,
    delay_p50_us,
    delay_p99_us,
    delay_p999_us,
    generator_core_ratio,
];

impl Figures {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64();
        let cpu = outcome.usage.cpu.as_secs_f64();
        let arrivals = outcome.arrivals as f64;
        let due = (outcome.expected + outcome.skipped) as f64;
        let bytes = arrivals * PAYLOAD_BYTES as f64;
        let lost = due - outcome.received as f64;
        Self {
            packets_per_second: ratio(arrivals, seconds),
            mbps: ratio(bytes * 8.0, seconds * 1e6),
            loss_ratio: ratio(lost, due),
            skipped_ratio: ratio(outcome.skipped as f64, due),
            retransmitted_ratio: ratio(outcome.retransmitted as f64, due),
            repeated_ratio: ratio(outcome.repeated as f64, due),
            late_ratio: ratio(outcome.late as f64, due),
            closed: outcome.closed as f64,
            cpu_seconds_per_gb: ratio(cpu * 1e9, bytes),
            us_per_packet: ratio(cpu * 1e6, arrivals),
            packets_per_core_second: ratio(arrivals, cpu),
            core_ratio: ratio(cpu, seconds),
            switches_per_packet: ratio(outcome.usage.switches as f64, arrivals),
            rss_mb: outcome.usage.resident_bytes as f64 / 1e6,
            threads: outcome.usage.threads as f64,
            delay_p50_us: outcome.delays.quantile_us(0.5),
            delay_p99_us: outcome.delays.quantile_us(0.99),
            delay_p999_us: outcome.delays.quantile_us(0.999),
            generator_core_ratio: ratio(outcome.own.as_secs_f64(), seconds),
        }
    }

    /// The median of each figure by itself.
    pub(super) fn median(turns: &[Self]) -> Self {
        let mut median = Self::default();
        for (_, read, write) in FIELDS {
            *write(&mut median) = self::median(turns.iter().map(read).collect());
        }
        median
    }

    /// Payloads that were lost or had to be sent again, of those due.
    pub(super) fn damaged_ratio(&self) -> f64 {
        self.loss_ratio.max(self.retransmitted_ratio)
    }

    pub(super) fn to_json(self) -> Value {
        let field = |(name, read, _): Field| (name.to_owned(), json!(rounded(read(&self))));
        Value::Object(FIELDS.map(field).into_iter().collect::<Map<_, _>>())
    }
}

/// The one in the middle, the higher of two; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Six digits are more than a measurement has.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10f64.powf(5.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::usage::Usage;

    #[test]
    fn figures_divide_what_was_used_by_what_was_delivered() {
        let outcome = Outcome {
            expected: 999,
            skipped: 1,
            received: 990,
            arrivals: 1000,
            elapsed: Duration::from_secs(2),
            usage: Usage {
                cpu: Duration::from_millis(10),
                switches: 500,
                ..Usage::default()
            },
            ..Outcome::default()
        };
        let figures = Figures::of(&outcome);
        assert!((figures.loss_ratio - 0.01).abs() < 1e-12);
        assert!((figures.us_per_packet - 10.0).abs() < 1e-9);
        assert!((figures.core_ratio - 0.005).abs() < 1e-12);
        assert!((figures.switches_per_packet - 0.5).abs() < 1e-12);
        assert!((figures.cpu_seconds_per_gb - 10.0 / 1.316).abs() < 1e-6);
        assert_eq!(Figures::of(&Outcome::default()), Figures::default());
    }

    #[test]
    fn a_median_is_of_each_figure() {
        let turn = |mbps, threads| Figures {
            mbps,
            threads,
            ..Figures::default()
        };
        let median = Figures::median(&[turn(3.0, 1.0), turn(1.0, 5.0), turn(2.0, 9.0)]);
        assert_eq!((median.mbps, median.threads), (2.0, 5.0));
    }

    #[test]
    fn six_digits_are_kept() {
        assert_eq!(rounded(1_234_567.0), 1_234_570.0);
        assert_eq!(rounded(0.000_123_456_78), 0.000_123_457);
    }
}
