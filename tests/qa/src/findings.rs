//! What a case found: figures, what is wrong, and what was left out.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// What a case found. It passes when nothing is wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    figures: Map<String, Value>,
    failures: Vec<String>,
    unchecked: Vec<String>,
}

impl Findings {
    /// Those of a case that did not get to its end.
    #[must_use]
    pub fn broken(reason: &str) -> Self {
        Self {
            failures: vec![reason.to_owned()],
            ..Self::default()
        }
    }

    /// Keeps a figure.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Keeps a figure that is measured, to three decimals.
    pub fn measured(&mut self, name: &str, value: f64) {
        self.figure(name, (value * 1000.0).round() / 1000.0);
    }

    /// Keeps a figure that must lie in a range.
    pub fn within(&mut self, name: &str, value: f64, range: RangeInclusive<f64>) {
        self.measured(name, value);
        let (low, high) = (range.start(), range.end());
        self.expect(range.contains(&value), || {
            format!("{name} is {value:.1}, not within {low:.1} to {high:.1}")
        });
    }

    /// Keeps the time that something took, in milliseconds, which must lie in a range;
    /// fails when it did not happen.
    pub fn took(&mut self, name: &str, took_ms: Option<u64>, range: RangeInclusive<u64>) {
        self.figure(name, took_ms);
        let (low, high) = (range.start(), range.end());
        self.expect(took_ms.is_some_and(|ms| range.contains(&ms)), || {
            let took = took_ms.map_or("no end".to_owned(), |ms| format!("{ms} ms"));
            format!("{name}: {took}, not within {low} to {high} ms")
        });
    }

    /// Notes a failure unless something holds.
    pub fn expect(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(otherwise());
        }
    }

    /// Says what was left out and why; the case may pass without.
    pub fn unchecked(&mut self, what: &str) {
        self.unchecked.push(what.to_owned());
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn pass(&self) -> bool {
        self.failures.is_empty()
    }

    /// What was measured and counted, by name.
    #[must_use]
    pub const fn figures(&self) -> &Map<String, Value> {
        &self.figures
    }

    /// What is wrong.
    #[must_use]
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// What was left out.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.unchecked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_outside_its_range_fails() {
        let mut findings = Findings::default();
        findings.within("rtt_ms", 50.04, 40.0..=60.0);
        findings.took("fade_ms", Some(3100), 2900..=4000);
        assert!(findings.pass());
        findings.within("loss_pct", 3.0, 0.0..=1.0);
        findings.took("return_ms", None, 0..=2000);
        assert_eq!(
            findings.failures(),
            [
                "loss_pct is 3.0, not within 0.0 to 1.0",
                "return_ms: no end, not within 0 to 2000 ms"
            ]
        );
        assert_eq!(findings.figures()["rtt_ms"], 50.04);
        assert_eq!(findings.figures()["return_ms"], Value::Null);
    }
}
