//! The `streamhaul` command.

use std::process::ExitCode;

use clap::Parser as _;
use streamhaul_streamhaul::cli::Cli;
use streamhaul_streamhaul::command;

fn main() -> ExitCode {
    match command::run(&Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("streamhaul: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr)] // the one line a failed command leaves
fn say(text: &str) {
    eprintln!("{text}");
}
