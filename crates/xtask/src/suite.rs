//! `cargo xtask test`: every test, on a PostgreSQL of their own.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::postgres::Postgres;

use crate::cli::Test;
use crate::packages::{self, Program};
use crate::workspace::{cargo, run as succeed};

/// Where tests find the cluster; `testkit::database` reads it.
const URL_VARIABLE: &str = "STREAMHAUL_TEST_DATABASE_URL";

/// What the test binaries said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    failures: Vec<String>,
}

/// Runs the tests; the last line says how many passed and failed.
pub(crate) fn run(options: &Test) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    packages::ensure(&[
        Program::Postgres,
        Program::Ffmpeg,
        Program::SrtLiveTransmit,
        Program::NatsServer,
    ])?;
    succeed(&mut build(options))?;
    let directory = tempfile::Builder::new()
        .prefix("streamhaul-test-")
        .tempdir()?;
    // PostgreSQL may run as another user, who must get to its files.
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    let postgres = Postgres::start(directory.path()).context("a PostgreSQL for the tests")?;
    let (tally, succeeded) = test(&mut command(options, &postgres.url()))?;
    if !succeeded && tally.failed == 0 {
        println!("a test did not build, or a test program ended before its result");
    }
    report(&tally, started.elapsed());
    Ok(if succeeded && tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The programs, which end-to-end tests run as processes. Together with the tests:
/// these add features to third-party crates, which would be compiled once more.
fn build(options: &Test) -> Command {
    let mut command = cargo(&["build", "--workspace", "--bins"]);
    if options.package.is_empty() {
        command.arg("--tests");
    }
    command
}

fn command(options: &Test, database_url: &str) -> Command {
    let mut command = cargo(&["test", "--no-fail-fast"]);
    if options.package.is_empty() {
        command.arg("--workspace");
    }
    for package in &options.package {
        command.args(["--package", package]);
    }
    command.args(&options.filter);
    // A program that is missing is a failure, never a skipped test.
    command.env("CI", "true").env(URL_VARIABLE, database_url);
    command
}

/// Runs the tests, shows what they print and counts.
fn test(command: &mut Command) -> anyhow::Result<(Tally, bool)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        tally.note(&line);
    }
    Ok((tally, child.wait()?.success()))
}

impl Tally {
    fn note(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, " passed");
            self.failed += count(counts, " failed");
            self.ignored += count(counts, " ignored");
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }
}

/// The number before `word` in `ok. 12 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    let before = counts.split(word).next().unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn report(tally: &Tally, took: Duration) {
    println!();
    for name in &tally.failures {
        println!("failed: {name}");
    }
    let seconds = took.as_secs();
    println!(
        "took {} min {} s, with the build",
        seconds / 60,
        seconds % 60
    );
    println!("{}", tally.summary());
}

impl Tally {
    fn summary(&self) -> String {
        let ignored = match self.ignored {
            0 => String::new(),
            ignored => format!(", {ignored} ignored"),
        };
        format!("{} passed, {} failed{ignored}", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "test a::b ... ok",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            "test c::d ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.1s",
        ] {
            tally.note(line);
        }
        assert_eq!(tally.summary(), "14 passed, 1 failed");
        assert_eq!(tally.failures, ["c::d"]);
    }
}
