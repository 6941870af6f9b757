//! A run of the checklist: everything is set up, case by case is run, everything ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::carriers;
use crate::cases::Case;
use crate::clock::now_ms;
use crate::dock::Dock;
use crate::findings::Findings;
use crate::instance::{Instance, Running};
use crate::report::{Outcome, Report};
use crate::stage::Stage;

/// What to run, and on what.
#[derive(Debug)]
pub struct Plan {
    /// In this order.
    pub cases: Vec<Case>,
    /// On this instance; on one of our own otherwise.
    pub running: Option<Running>,
    /// Where clips are made once.
    pub clips: PathBuf,
    /// Where files of failed cases are kept.
    pub keep: PathBuf,
}

/// The driver's sources.
const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");

/// Runs the cases; `tell` gets each outcome as it is known.
///
/// # Errors
/// When the instance or the browser does not start: no case can be run.
pub fn run(plan: Plan, tell: impl Fn(&Outcome)) -> anyhow::Result<Report> {
    let scratch = scratch()?;
    let instance = open(plan.running, scratch.path())?;
    eprintln!("instance {}", instance.origin());
    let browser = Browser::start(Path::new(BROWSER), &scratch.path().join("browser.log"))?;
    let dock = Dock::sign_in(
        browser,
        &scratch.path().join("profile"),
        &instance.dock_link()?,
    )?;
    let mut stage = Stage::new(instance, dock, &plan.clips);
    let kept = plan.keep.join((now_ms() / 1000).to_string());
    let mut report = Report::default();
    for case in plan.cases {
        eprintln!("{}: {}", case.id, case.about);
        let outcome = run_case(&mut stage, case, &kept.join(case.id))?;
        tell(&outcome);
        report.outcomes.push(outcome);
    }
    // Empty when every case passed.
    let _not_empty = std::fs::remove_dir(&kept);
    stage.instance.end()?;
    Ok(report)
}

/// A folder for all that ends with the run. PostgreSQL may run as another user, who
/// must get to its files.
fn scratch() -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("streamhaul-qa-")
        .tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn open(running: Option<Running>, scratch: &Path) -> anyhow::Result<Instance> {
    if let Some(running) = running {
        return Instance::at(running);
    }
    let database = scratch.join("asn.mmdb");
    std::fs::write(&database, carriers::database())?;
    Instance::start(scratch, &database)
}

fn run_case(stage: &mut Stage, case: Case, folder: &Path) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    stage.begin(case.id, folder)?;
    let mut findings =
        (case.run)(stage).unwrap_or_else(|error| Findings::broken(&format!("{error:#}")));
    let complaints = stage.dock.complaints().unwrap_or_default();
    findings.expect(complaints.is_empty(), || {
        format!("the page complains: {complaints:?}")
    });
    let failed = !findings.pass();
    let outcome = Outcome {
        id: case.id,
        findings,
        took: started.elapsed(),
        kept: failed.then(|| folder.to_owned()),
    };
    conclude(stage, &outcome, folder)?;
    Ok(outcome)
}

/// Keeps what explains a failure, and makes the stage ready for the next case.
fn conclude(stage: &mut Stage, outcome: &Outcome, folder: &Path) -> anyhow::Result<()> {
    if outcome.kept.is_some() {
        if let Err(error) = keep(stage, outcome, folder) {
            eprintln!("{}: not everything was kept: {error:#}", outcome.id);
        }
    } else {
        stage.dock.end_trace(None)?;
        std::fs::remove_dir_all(folder)?;
    }
    stage
        .clean_up()
        .with_context(|| format!("clean up after {}", outcome.id))?;
    if outcome.kept.is_some() {
        // The case may have left the browser closed or the page elsewhere.
        stage.dock.reopen()?;
    }
    Ok(())
}

fn keep(stage: &mut Stage, outcome: &Outcome, folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join("case.txt"), format!("{outcome}\n"))?;
    stage.instance.keep_log(folder)?;
    stage.dock.keep_sights(folder)?;
    stage.dock.end_trace(Some(folder))
}
