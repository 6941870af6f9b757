//! `cargo xtask fuzz`: searches for bytes that break a promise.
//!
//! Each target starts from its corpus in `fuzz/corpus/<target>/` and finds more
//! in a directory of its own. An input that breaks something is copied into the
//! corpus, where every test run replays it from then on.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::cli::Fuzz;
use crate::workspace::{cargo, has_program, root, run as succeed, target_dir};

/// More than any datagram, less than what makes the search slow.
const INPUT_BYTES_MAX: u32 = 4096;
/// An input that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(10);
const MEMORY_MB_MAX: u32 = 1024;
/// What is shown of the search's output when it found something.
const LINES_SHOWN: usize = 60;

/// What the search of one target came to.
#[derive(Debug, Default)]
struct Outcome {
    target: String,
    executions: u64,
    /// Edges of the code that were reached.
    coverage: u64,
    seconds: f64,
    /// Inputs that broke something, now in the corpus.
    crashes: Vec<PathBuf>,
    last_lines: VecDeque<String>,
}

/// Searches the named target, or each of them, for so many minutes.
pub(crate) fn run(options: &Fuzz) -> anyhow::Result<ExitCode> {
    ensure_cargo_fuzz()?;
    let targets = chosen(options.target.as_deref())?;
    succeed(&mut cargo_fuzz(&["build"]))?;
    let span = Duration::from_secs_f64(options.minutes * 60.0);
    let mut outcomes = Vec::new();
    for target in targets {
        let outcome = search(&target, span, options.keep)?;
        if !options.json {
            outcome.print();
        }
        outcomes.push(outcome);
    }
    let passed = outcomes.iter().all(|outcome| outcome.crashes.is_empty());
    if options.json {
        let outcomes: Vec<_> = outcomes.iter().map(Outcome::to_json).collect();
        println!("{}", json!({"targets": outcomes, "passed": passed}));
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn ensure_cargo_fuzz() -> anyhow::Result<()> {
    if has_program("cargo-fuzz") {
        return Ok(());
    }
    succeed(&mut cargo(&[
        "install",
        "cargo-fuzz",
        "--locked",
        "--debug",
    ]))
    .context("cargo-fuzz is missing; install it with: cargo install cargo-fuzz --locked")
}

/// cargo-fuzz with our compiler: the sanitizers need a flag that is not stable.
fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = cargo(&["fuzz"]);
    command.args(arguments).env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_TARGET_DIR", target_dir().join("fuzz"));
    command
}

fn chosen(target: Option<&str>) -> anyhow::Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        targets.extend(
            path.file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    targets.sort();
    let Some(target) = target else {
        return Ok(targets);
    };
    ensure!(
        targets.iter().any(|other| other == target),
        "no target {target}; there are: {}",
        targets.join(", ")
    );
    Ok(vec![target.to_owned()])
}

fn search(target: &str, span: Duration, keep: bool) -> anyhow::Result<Outcome> {
    let directory = tempfile::Builder::new()
        .prefix("streamhaul-fuzz-")
        .tempdir()?;
    let (found, broken) = (
        directory.path().join("found"),
        directory.path().join("broken"),
    );
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&broken)?;
    let corpus = root().join("fuzz/corpus").join(target);
    let started = Instant::now();
    let mut outcome = watch(&mut searching(target, span, [&found, &corpus], &broken))?;
    outcome.target = target.to_owned();
    outcome.seconds = started.elapsed().as_secs_f64();
    outcome.crashes = adopt(&broken, &corpus)?;
    if keep {
        succeed(
            cargo_fuzz(&["run", target])
                .args([&corpus, &found])
                .args(["--", "-merge=1"]),
        )?;
    }
    Ok(outcome)
}

fn searching(target: &str, span: Duration, corpora: [&PathBuf; 2], broken: &Path) -> Command {
    let mut command = cargo_fuzz(&["run", target]);
    command.args(corpora).arg("--");
    command.arg(format!("-max_total_time={}", span.as_secs().max(1)));
    command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command.arg(format!("-timeout={}", TIMEOUT.as_secs()));
    command.arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"));
    command.arg(format!("-artifact_prefix={}/", broken.display()));
    command.arg("-print_final_stats=1");
    command
}

/// Runs a search to its end and reads what it says.
fn watch(command: &mut Command) -> anyhow::Result<Outcome> {
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cargo fuzz")?;
    let output = child.stderr.take().context("cargo fuzz has no output")?;
    let mut outcome = Outcome::default();
    for line in BufReader::new(output).split(b'\n') {
        outcome.note(&String::from_utf8_lossy(&line?));
    }
    let status = child.wait()?;
    ensure!(
        outcome.executions > 0,
        "the search did not start ({status}):\n{}",
        outcome.shown()
    );
    Ok(outcome)
}

/// Copies what broke something into the corpus.
fn adopt(broken: &Path, corpus: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut adopted = Vec::new();
    for entry in fs::read_dir(broken)? {
        let entry = entry?;
        let path = corpus.join(entry.file_name());
        fs::copy(entry.path(), &path)?;
        adopted.push(path);
    }
    Ok(adopted)
}

impl Outcome {
    /// Takes a line such as `#4096 pulse cov: 812 ft: 3021 …` or
    /// `stat::number_of_executed_units: 123`.
    fn note(&mut self, line: &str) {
        if let Some(executed) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = executed.trim().parse().unwrap_or(self.executions);
        } else if let Some(executed) = line.strip_prefix('#').and_then(first_word) {
            self.executions = executed.parse().unwrap_or(self.executions);
        }
        if let Some(coverage) = line
            .split_once(" cov: ")
            .and_then(|(_, rest)| first_word(rest))
        {
            self.coverage = coverage.parse().unwrap_or(self.coverage);
        }
        self.last_lines.push_back(line.to_owned());
        if self.last_lines.len() > LINES_SHOWN {
            self.last_lines.pop_front();
        }
    }

    fn shown(&self) -> String {
        self.last_lines
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect()
    }

    fn print(&self) {
        println!(
            "{:<12} {:>12} executions, {:>6} edges, {:>6.0} s, {} crashes",
            self.target,
            self.executions,
            self.coverage,
            self.seconds,
            self.crashes.len()
        );
        for path in &self.crashes {
            println!(
                "  broken by {}, which is in the corpus now:",
                path.display()
            );
            println!("{}", self.shown());
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "target": self.target,
            "executions": self.executions,
            "coverage": self.coverage,
            "seconds": self.seconds,
            "crashes": self.crashes,
        })
    }
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace()
        .next()
        .map(|word| word.trim_end_matches(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_searchs_own_lines_are_understood() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).",
            "#2\tINITED cov: 310 ft: 311 corp: 1/1b exec/s: 0 rss: 39Mb",
            "#65536\tpulse  cov: 812 ft: 3021 corp: 91/3kb lim: 800 exec/s: 21845 rss: 90Mb",
            "==7== ERROR: libFuzzer: deadly signal",
        ] {
            outcome.note(line);
        }
        assert_eq!((outcome.executions, outcome.coverage), (65_536, 812));
        outcome.note("stat::number_of_executed_units: 70000");
        assert_eq!(outcome.executions, 70_000);
    }
}
