//! `cargo xtask up`.

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use crate::cli::Up;
use crate::demo;
use crate::instance::Instance;
use crate::packages::{self, Program};
use crate::stop::Stop;
use crate::workspace::{cargo, run as succeed, target_dir};

/// Finds what is missing, builds, and runs until Ctrl-C.
pub(crate) fn run(options: &Up) -> anyhow::Result<ExitCode> {
    packages::ensure(&needs(options))?;
    let binary = build()?;
    let stop = Stop::on_signals()?;
    if options.demo {
        let instance = Instance::start(&binary, &demo::arguments(&options.arguments))?;
        return demo::run(instance, options, stop);
    }
    let instance = Instance::start(&binary, &options.arguments)?;
    instance.wait(stop).map(exit_code)
}

/// The status as ours.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn needs(options: &Up) -> Vec<Program> {
    let mut needs = Vec::new();
    let own_database = options
        .arguments
        .iter()
        .any(|argument| argument.to_string_lossy().starts_with("--database-url"));
    if !own_database {
        needs.push(Program::Postgres);
    }
    if options.demo {
        needs.push(Program::Ffmpeg);
    }
    needs
}

fn build() -> anyhow::Result<PathBuf> {
    let mut build = cargo(&["build", "--release", "--package", "streamhaul-streamhaul"]);
    succeed(build.args(["--bin", "streamhaul"]))?;
    Ok(target_dir().join("release/streamhaul"))
}
