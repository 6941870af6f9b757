//! Runs the matrix: what `cargo xtask interop` runs.
#![allow(clippy::print_stdout, reason = "a report is printed")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use streamhaul_interop::bonded;
use streamhaul_interop::cell::{self, Cell};
use streamhaul_interop::matrix::{self, Plan};
use streamhaul_interop::{named, pgbouncer};

/// Common programs through a relay node, over bad paths.
#[derive(Parser)]
struct Arguments {
    /// Only cells whose name contains this, such as `ffmpeg→slt` or `aes256 2%`.
    filter: Option<String>,
    /// What decides which packets are lost.
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
    /// Bond with this program too, run as BELABOX's `srtla_send` is; may be repeated.
    #[arg(long, value_name = "PATH")]
    srtla_send: Vec<PathBuf>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 6)]
    at_once: usize,
    /// Instead of the matrix, check names of slots at BIND's `named` at this path.
    #[arg(long, value_name = "PATH", conflicts_with = "filter")]
    named: Option<PathBuf>,
    /// Instead of the matrix, run background jobs behind the pgbouncer at this path.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["filter", "named"])]
    pgbouncer: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(binary) = &arguments.named {
        return check_named(binary, arguments.json);
    }
    if let Some(binary) = &arguments.pgbouncer {
        return check_pgbouncer(binary, arguments.json);
    }
    let filter = arguments.filter.unwrap_or_default();
    let is_asked = |cell: &Cell| cell.to_string().contains(&filter);
    let cells: Vec<Cell> = cell::all().into_iter().filter(is_asked).collect();
    let mut bonded = bonded::all(&arguments.srtla_send);
    bonded.retain(|cell| cell.to_string().contains(&filter));
    ensure!(
        !cells.is_empty() || !bonded.is_empty(),
        "no cell's name contains `{filter}`"
    );
    let plan = Plan {
        cells,
        at_once: arguments.at_once,
        seed: arguments.seed,
    };
    // Beside the binaries, so that a clean build forgets it.
    let scratch = std::env::current_exe()?.with_file_name("streamhaul-interop-files");
    let mut report = matrix::run(&plan, &scratch)?;
    report.bonded = matrix::run_bonded(&bonded, plan.at_once, &scratch, plan.seed)?;
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(if report.passes() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check_named(binary: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(named::check(binary))?;
    if json {
        println!("{}", serde_json::json!({"named": "ok"}));
    } else {
        println!("BIND takes our updates, and answers what they say");
    }
    Ok(ExitCode::SUCCESS)
}

fn check_pgbouncer(binary: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let finding = pgbouncer::check(binary)?;
    if json {
        println!("{}", finding.to_json());
    } else {
        print!("{finding}");
    }
    Ok(ExitCode::SUCCESS)
}
