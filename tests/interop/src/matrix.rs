//! Runs many cells, a few at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use e2e::plane::Terms;

use crate::bonded::{BondedCell, BondedLine};
use crate::cell::{Cell, Loss};
use crate::completeness::Completeness;
use crate::report::{Line, Report};
use crate::stage::Stage;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cells.
    pub cells: Vec<Cell>,
    /// How many runs at once.
    pub at_once: usize,
    /// What decides which packets are lost.
    pub seed: u64,
}

/// What came of a run, or why nothing did.
pub type Outcome = Result<Completeness, String>;

type Way = (Loss, Duration);

#[derive(Debug, Clone, Copy)]
enum Run {
    Straight(Way),
    Cell(usize),
}

/// Runs every cell, and beside the cells of each path the straight run. A cell
/// that does not pass is run once more with its straight run and nothing else
/// beside: on a machine that stalls, programs drop what they cannot read in time.
///
/// # Errors
/// When the node does not come up.
pub fn run(plan: &Plan, scratch: &Path) -> anyhow::Result<Report> {
    let cells = &plan.cells;
    // A second run has a session of its own.
    let twice: Vec<Cell> = cells.iter().chain(cells).copied().collect();
    let stage = Stage::start(&twice, scratch, plan.seed)?;
    let outcomes = run_all(&stage, cells, &schedule(cells), plan.at_once);
    let mut lines: Vec<Line> = cells
        .iter()
        .zip(outcomes.cells.into_values())
        .map(|(cell, through)| Line {
            cell: *cell,
            through,
            straight: outcomes.straight[&cell.path()].clone(),
            runs: 1,
        })
        .collect();
    for (index, line) in lines.iter_mut().enumerate() {
        if !line.passes() {
            tell(&format!("again: {line}"));
            run_again(&stage, (cells.len() + index) as u32, line);
        }
    }
    Ok(Report {
        lines,
        bonded: Vec::new(),
        seed: plan.seed,
    })
}

/// Carries the stream over links in every one of these cells, a few at once; what
/// does not pass is run once more with nothing else beside.
///
/// # Errors
/// When the node does not come up.
pub fn run_bonded(
    cells: &[BondedCell],
    at_once: usize,
    scratch: &Path,
    seed: u64,
) -> anyhow::Result<Vec<BondedLine>> {
    let stage = Stage::start_on(vec![Terms::Clear; cells.len() * 2], scratch, seed)?;
    let run = |session: usize, cell: &BondedCell, runs| {
        let carried = stage.run_bonded(session as u32, cell);
        let line = BondedLine {
            cell: cell.clone(),
            carried: carried.map_err(|error| format!("{error:#}")),
            runs,
        };
        tell(&line.to_string());
        line
    };
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(BTreeMap::new());
    let work = || {
        while let (index, Some(cell)) = take(&next, cells) {
            let line = run(index, cell, 1);
            lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, line);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            scope.spawn(work);
        }
    });
    let lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    let again = |(index, line): (usize, BondedLine)| match line.passes() {
        true => line,
        false => run(cells.len() + index, &line.cell, 2),
    };
    Ok(lines.into_iter().map(again).collect())
}

fn take<'a, T>(next: &AtomicUsize, all: &'a [T]) -> (usize, Option<&'a T>) {
    let index = next.fetch_add(1, Ordering::Relaxed);
    (index, all.get(index))
}

#[derive(Default)]
struct Outcomes {
    straight: BTreeMap<Way, Outcome>,
    cells: BTreeMap<usize, Outcome>,
}

/// Each straight run just before the cells that it is compared with.
fn schedule(cells: &[Cell]) -> Vec<Run> {
    let mut seen = Vec::new();
    let mut runs = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        if !seen.contains(&cell.path()) {
            seen.push(cell.path());
            runs.push(Run::Straight(cell.path()));
        }
        runs.push(Run::Cell(index));
    }
    runs
}

fn run_all(stage: &Stage, cells: &[Cell], runs: &[Run], at_once: usize) -> Outcomes {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Outcomes::default()));
    let work = || {
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, outcome) = carry_out(stage, cells, *run);
            tell(&format!("{name}: {}", describe(&outcome)));
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            match *run {
                Run::Straight(way) => outcomes.straight.insert(way, outcome),
                Run::Cell(index) => outcomes.cells.insert(index, outcome),
            };
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once.max(1) {
            scope.spawn(work);
        }
    });
    outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn carry_out(stage: &Stage, cells: &[Cell], run: Run) -> (String, Outcome) {
    match run {
        Run::Straight((loss, latency)) => (
            format!("straight {} {}ms", loss.as_str(), latency.as_millis()),
            said(stage.run_straight(loss, latency)),
        ),
        Run::Cell(index) => (
            cells[index].to_string(),
            said(stage.run(index as u32, &cells[index])),
        ),
    }
}

fn run_again(stage: &Stage, session: u32, line: &mut Line) {
    let (loss, latency) = line.cell.path();
    std::thread::scope(|scope| {
        let straight = scope.spawn(|| said(stage.run_straight(loss, latency)));
        line.through = said(stage.run(session, &line.cell));
        line.straight = straight
            .join()
            .unwrap_or_else(|_| Err("the straight run panicked".into()));
    });
    line.runs += 1;
}

fn said(outcome: anyhow::Result<Completeness>) -> Outcome {
    outcome.map_err(|error| format!("{error:#}"))
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Ok(completeness) => completeness.to_string(),
        Err(error) => error.clone(),
    }
}

#[allow(clippy::print_stderr, reason = "a run takes minutes")]
fn tell(line: &str) {
    eprintln!("{line}");
}
