//! Goes through the checklist: what `cargo xtask qa` runs.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is printed, and how it goes on"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use streamhaul_qa::carriers;
use streamhaul_qa::cases::{self, Case};
use streamhaul_qa::instance::Running;
use streamhaul_qa::run::{Plan, run};

/// Goes through the checklist of a release, on a running instance: a bonded phone over
/// impaired links, and the dock in a headless browser.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask qa", bin_name = "cargo xtask qa")]
struct Arguments {
    /// Only this case, such as TC-RELAY-001; may be repeated.
    #[arg(long, value_name = "ID", value_parser = case)]
    case: Vec<Case>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// An instance that runs already on this machine, such as http://127.0.0.1:8080; one
    /// is started otherwise.
    #[arg(long, value_name = "URL", requires = "token")]
    instance: Option<String>,
    /// The token of a user of it.
    #[arg(long, env = "STREAMHAUL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Its node's statistics [default: port 8090 of the node's host].
    #[arg(long, value_name = "URL", requires = "instance")]
    stats: Option<String>,
    /// A command for `sh -c` that restarts it; without one, restarts are left out.
    #[arg(long, value_name = "COMMAND", requires = "instance")]
    restart: Option<String>,
    /// Where files of failed cases are kept [default: beside the program].
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Write the made-up database of carriers that the instance must have, and end.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["case", "json", "instance"])]
    write_asn_database: Option<PathBuf>,
}

fn case(id: &str) -> Result<Case, String> {
    let known = || cases::ALL.map(|case| case.id).join(", ");
    cases::find(id).ok_or_else(|| format!("the cases are {}", known()))
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.write_asn_database {
        std::fs::write(path, carriers::database())?;
        return Ok(ExitCode::SUCCESS);
    }
    let json = arguments.json;
    let report = run(plan(arguments)?, |outcome| {
        if !json {
            println!("{outcome}");
        }
    })?;
    if json {
        println!("{}", report.to_json());
    }
    Ok(if report.pass() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn plan(arguments: Arguments) -> anyhow::Result<Plan> {
    // Beside the binaries, so that a clean build forgets it.
    let files = std::env::current_exe()?.with_file_name("streamhaul-qa-files");
    let running = arguments.instance.map(|api| Running {
        api,
        token: arguments.token.unwrap_or_default(),
        stats: arguments.stats,
        restart: arguments.restart,
    });
    Ok(Plan {
        cases: match arguments.case {
            chosen if chosen.is_empty() => cases::ALL.to_vec(),
            chosen => chosen,
        },
        running,
        clips: files.join("clips"),
        keep: arguments.keep.unwrap_or_else(|| files.join("failed")),
    })
}
