//! What people and CI run: `cargo xtask <command>`.
//!
//! Each command is a module with one public function. This crate refuses to know
//! how a service works: it finds what is missing, builds, starts programs and
//! reads what they say.
//!
//! To add a command, write its module, add a variant to `cli::Command` and a
//! recipe to the justfile.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

pub mod bench;
mod broadcast;
mod cli;
pub mod codegen;
mod dashboards;
mod demo;
pub mod drill;
mod fuzz;
mod instance;
mod interop;
mod lint;
mod live;
mod openapi;
mod packages;
mod phone;
mod picture;
mod probe;
mod qa;
mod rules;
mod screenshots;
mod sqlx;
mod stop;
mod suite;
mod up;
mod web;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match cli::Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
