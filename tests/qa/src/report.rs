//! What comes of a run: a line a case, or one JSON object.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::findings::Findings;

/// What came of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Such as `TC-RELAY-001`.
    pub id: &'static str,
    /// What it found.
    pub findings: Findings,
    /// How long it took.
    pub took: Duration,
    /// Where its files are, when it failed.
    pub kept: Option<PathBuf>,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Case by case.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether every case passed.
    #[must_use]
    pub fn pass(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.findings.pass())
    }

    /// `{"cases": {"TC-RELAY-001": {"pass": true, "figures": {…}, …}}}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let cases = self
            .outcomes
            .iter()
            .map(|outcome| (outcome.id.to_owned(), outcome.to_json()));
        json!({"cases": cases.collect::<Map<_, _>>()})
    }
}

impl Outcome {
    fn to_json(&self) -> Value {
        json!({
            "pass": self.findings.pass(),
            "figures": self.findings.figures(),
            "failures": self.findings.failures(),
            "not_checked": self.findings.left_out(),
            "seconds": self.took.as_secs(),
            "kept": self.kept,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.findings.pass() { "pass" } else { "FAIL" };
        write!(f, "{:<13} {word} {:>4} s ", self.id, self.took.as_secs())?;
        for (name, value) in self.findings.figures() {
            write!(f, " {name}={value}")?;
        }
        for failure in self.findings.failures() {
            write!(f, "\n    wrong: {failure}")?;
        }
        for what in self.findings.left_out() {
            write!(f, "\n    not checked: {what}")?;
        }
        if let Some(kept) = &self.kept {
            write!(f, "\n    kept: {}", kept.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &'static str, failure: Option<&str>) -> Outcome {
        let mut findings = Findings::default();
        findings.figure("links", 3);
        findings.expect(failure.is_none(), || failure.unwrap_or_default().to_owned());
        Outcome {
            id,
            findings,
            took: Duration::from_secs(31),
            kept: failure.map(|_| "/tmp/here".into()),
        }
    }

    #[test]
    fn every_case_has_its_verdict_and_its_figures() {
        let mut report = Report::default();
        report.outcomes.push(outcome("TC-RELAY-001", None));
        assert!(report.pass());
        report
            .outcomes
            .push(outcome("TC-RELAY-002", Some("no fade")));
        assert!(!report.pass());
        let json = report.to_json();
        assert_eq!(json["cases"]["TC-RELAY-001"]["pass"], true);
        assert_eq!(json["cases"]["TC-RELAY-001"]["figures"]["links"], 3);
        assert_eq!(json["cases"]["TC-RELAY-002"]["pass"], false);
        assert_eq!(json["cases"]["TC-RELAY-002"]["failures"][0], "no fade");
    }

    #[test]
    fn a_line_says_what_is_wrong_and_where_to_look() {
        let text = outcome("TC-RELAY-002", Some("no fade")).to_string();
        assert_eq!(
            text,
            "TC-RELAY-002  FAIL   31 s  links=3\n    wrong: no fade\n    kept: /tmp/here"
        );
    }
}
