//! The same jobs by River's own bench, in a fresh database of the same cluster: what somebody
//! else's engine does there in a second.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use super::Plan;
use crate::bench::median;

const DATABASE: &str = "river";
/// What its last line begins with, and what stands before the figures in it.
const SUMMARY: &str = "bench: total jobs worked";
const WORKED: &str = "total jobs worked";
const RATE: &str = "overall job/sec";

/// What River does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    /// As it says itself.
    pub(super) version: String,
    /// Jobs that do nothing, done a second: the median of its turns.
    pub(super) noop_per_s: f64,
}

/// Runs the command `binary` of River with as many jobs and turns as the engine has.
pub(super) async fn measure(binary: &Path, url: &str, plan: &Plan) -> anyhow::Result<Figures> {
    let url = testkit::database::create(url, DATABASE).await;
    let (binary, plan) = (binary.to_owned(), *plan);
    tokio::task::spawn_blocking(move || turns(&binary, &url, plan)).await?
}

fn turns(binary: &Path, url: &str, plan: Plan) -> anyhow::Result<Figures> {
    let version = run(binary, &["version"])?;
    run(binary, &["migrate-up", "--database-url", url])?;
    let jobs = plan.jobs.to_string();
    let bench = ["bench", "--database-url", url, "--num-total-jobs", &jobs];
    let mut rates = Vec::new();
    for _ in 0..plan.turns.max(1) {
        let said = run(binary, &bench)?;
        let (worked, rate) = summary(&said).with_context(|| format!("no summary in:\n{said}"))?;
        ensure!(worked == plan.jobs, "River did {worked} of {jobs} jobs");
        rates.push(rate);
    }
    let version = version.lines().next().unwrap_or_default();
    Ok(Figures {
        version: version.trim_start_matches("River version ").to_owned(),
        noop_per_s: median(rates),
    })
}

fn run(binary: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary)
        .args(arguments)
        .output()
        .with_context(|| format!("start {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{} {}: {said}{error}", binary.display(), arguments[0]);
    }
    Ok(said)
}

/// Jobs done, and how many a second.
fn summary(said: &str) -> Option<(u32, f64)> {
    let line = said.lines().find(|line| line.starts_with(SUMMARY))?;
    let worked = bracketed(line, WORKED)?.parse().ok()?;
    let rate: f64 = bracketed(line, RATE)?.parse().ok()?;
    (rate.is_finite() && rate > 0.0).then_some((worked, rate))
}

/// What stands in the brackets after a name.
fn bracketed<'line>(line: &'line str, name: &str) -> Option<&'line str> {
    let (_, rest) = line.split_once(name)?;
    let (inside, _) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    Some(inside.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_summary_is_read_and_nothing_else_is_taken_for_one() {
        let said = "bench: jobs worked [          0 ], inserted [      20000 ], job/sec [        0.0 ] [0s]\n\
                    bench: jobs worked [      20000 ], inserted [          0 ], job/sec [    10000.0 ] [2s]\n\
                    bench: total jobs worked [      20000 ], total jobs inserted [      20000 ], \
                    overall job/sec [    26435.1 ], running 756.569ms\n";
        assert_eq!(summary(said), Some((20_000, 26_435.1)));
        let nothing = said.replace("26435.1", "NaN");
        assert_eq!(summary(&nothing), None);
        let (turns, _) = said.split_once("bench: total").unwrap();
        assert_eq!(summary(turns), None);
    }
}
