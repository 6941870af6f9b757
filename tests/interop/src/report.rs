//! What the matrix found.

use std::fmt;

use e2e::machine;
use serde_json::{Value, json};

use crate::bonded::BondedLine;
use crate::cell::Cell;
use crate::completeness::Completeness;
use crate::matrix::Outcome;

/// One cell and the straight run beside it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which.
    pub cell: Cell,
    /// Through the node.
    pub through: Outcome,
    /// From one srt-live-transmit to another.
    pub straight: Outcome,
    /// How often it was run.
    pub runs: u32,
}

impl Line {
    /// Whether everything came through the node.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.through.as_ref().is_ok_and(Completeness::is_complete)
    }

    /// Whether the node gave less than the straight run did.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        match (&self.through, &self.straight) {
            (Ok(through), Ok(straight)) => through.missing_ratio() > straight.missing_ratio(),
            (Err(_), _) => true,
            (_, Err(_)) => false,
        }
    }

    /// Whether it is what a relay has to reach: complete where the latency allows
    /// it, nothing out of order or changed, never worse than without a relay.
    #[must_use]
    pub fn passes(&self) -> bool {
        let Ok(through) = self.through else {
            return false;
        };
        let is_clean = through.disordered == 0 && through.foreign == 0;
        let is_enough = self.is_complete() || !self.cell.must_be_complete();
        self.straight.is_ok() && is_clean && is_enough && !self.is_worse()
    }
}

/// All lines.
#[derive(Debug, Clone)]
pub struct Report {
    /// In the order of the matrix.
    pub lines: Vec<Line>,
    /// Those over several links.
    pub bonded: Vec<BondedLine>,
    /// What decided which packets were lost.
    pub seed: u64,
}

impl Report {
    /// Whether every cell passes.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.lines.iter().all(Line::passes) && self.bonded.iter().all(BondedLine::passes)
    }

    /// One object for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "bars": {
                "cells": self.lines.len(),
                "complete": self.count(Line::is_complete),
                "incomplete_where_possible": self.count(is_needlessly_incomplete),
                "worse_than_libsrt": self.count(Line::is_worse),
                "not_passed": self.count(|line| !line.passes()),
                "bonded_cells": self.bonded.len(),
                "bonded_not_passed": self.bonded.iter().filter(|line| !line.passes()).count(),
            },
            "cells": self.lines.iter().map(line_json).collect::<Vec<_>>(),
            "bonded": self.bonded.iter().map(BondedLine::to_json).collect::<Vec<_>>(),
            "seed": self.seed,
            "machine": machine::describe(),
        })
    }

    fn count(&self, is: impl Fn(&Line) -> bool) -> usize {
        self.lines.iter().filter(|line| is(line)).count()
    }
}

fn is_needlessly_incomplete(line: &Line) -> bool {
    line.cell.must_be_complete() && !line.is_complete()
}

fn line_json(line: &Line) -> Value {
    let cell = &line.cell;
    json!({
        "name": cell.to_string(),
        "publisher": cell.publisher.as_str(),
        "player": cell.player.as_str(),
        "encryption": cell.encryption.as_str(),
        "loss": cell.loss.as_str(),
        "latency_ms": cell.latency.as_millis() as u64,
        "through": outcome_json(&line.through),
        "straight": outcome_json(&line.straight),
        "must_be_complete": cell.must_be_complete(),
        "runs": line.runs,
        "passes": line.passes(),
    })
}

fn outcome_json(outcome: &Outcome) -> Value {
    match outcome {
        Ok(completeness) => json!({
            "judged": completeness.judged,
            "missing": completeness.missing,
            "missing_ratio": completeness.missing_ratio(),
            "disordered": completeness.disordered,
            "foreign": completeness.foreign,
        }),
        Err(error) => json!({"error": error}),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<38} {:>10} {:>10} {:>5}  what must be",
            "missing, %", "relay", "straight", "runs"
        )?;
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        for line in &self.bonded {
            writeln!(f, "{line}")?;
        }
        let passed = self.count(Line::passes);
        let complete = self.count(Line::is_complete);
        let worse = self.count(Line::is_worse);
        writeln!(
            f,
            "{passed} of {} pass; {complete} are complete, {worse} worse than libsrt alone; seed {}",
            self.lines.len(),
            self.seed
        )?;
        let bonded = self.bonded.iter().filter(|line| line.passes()).count();
        writeln!(f, "{bonded} of {} over links pass", self.bonded.len())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = if self.cell.must_be_complete() {
            "complete"
        } else {
            "no worse"
        };
        let verdict = if self.passes() { "" } else { ": FAILED" };
        write!(
            f,
            "{:<38} {:>10} {:>10} {:>5}  {wanted}{verdict}",
            self.cell.to_string(),
            percent(&self.through),
            percent(&self.straight),
            self.runs
        )?;
        for error in [&self.through, &self.straight]
            .into_iter()
            .filter_map(|o| o.as_ref().err())
        {
            write!(f, "\n  {error}")?;
        }
        match &self.through {
            Ok(it) if it.disordered + it.foreign > 0 => write!(f, "\n  {it}"),
            _ => Ok(()),
        }
    }
}

fn percent(outcome: &Outcome) -> String {
    match outcome {
        Ok(completeness) => format!("{:.3}", completeness.missing_ratio() * 100.0),
        Err(_) => "none".into(),
    }
}
