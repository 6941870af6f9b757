//! Runs the matrix: what `cargo xtask interop` runs.
#![allow(clippy::print_stdout, reason = "a report is printed")]

use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use streamhaul_interop::cell::{self, Cell};
use streamhaul_interop::matrix::{self, Plan};

/// Common programs through a relay node, over bad paths.
#[derive(Parser)]
struct Arguments {
    /// Only cells whose name contains this, such as `ffmpeg→slt` or `aes256 2%`.
    filter: Option<String>,
    /// What decides which packets are lost.
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
    /// Runs at the same time.
    #[arg(long, default_value_t = 6)]
    at_once: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let filter = arguments.filter.unwrap_or_default();
    let is_asked = |cell: &Cell| cell.to_string().contains(&filter);
    let cells: Vec<Cell> = cell::all().into_iter().filter(is_asked).collect();
    ensure!(!cells.is_empty(), "no cell's name contains `{filter}`");
    let plan = Plan {
        cells,
        at_once: arguments.at_once,
        seed: arguments.seed,
    };
    // Beside the binaries, so that a clean build forgets it.
    let scratch = std::env::current_exe()?.with_file_name("streamhaul-interop-files");
    let report = matrix::run(&plan, &scratch)?;
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
