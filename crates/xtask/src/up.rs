//! `cargo xtask up`.

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use crate::cli::Up;
use crate::demo;
use crate::instance::Instance;
use crate::packages::{self, Program};
use crate::phone::Carriers;
use crate::stop::Stop;
use crate::web;
use crate::workspace::{self, run as succeed, target_dir};

/// Finds what is missing, builds, and runs until Ctrl-C.
pub(crate) fn run(options: &Up) -> anyhow::Result<ExitCode> {
    packages::ensure(&needs(options))?;
    if options.demo {
        web::provide();
    }
    let binary = build(if options.debug {
        Profile::Debug
    } else {
        Profile::Release
    })?;
    let stop = Stop::on_signals()?;
    if options.demo {
        let carriers = Carriers::write()?;
        let instance = Instance::start(&binary, &demo::arguments(&options.arguments, &carriers))?;
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

/// How the product is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Optimised, as users run it.
    Release,
    /// Sooner there.
    Debug,
}

/// Builds the product; says where it is.
pub(crate) fn build(profile: Profile) -> anyhow::Result<PathBuf> {
    let mut build = workspace::build(&["streamhaul"]);
    let directory = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            build.arg("--release");
            "release"
        }
    };
    succeed(&mut build)?;
    Ok(target_dir().join(directory).join("streamhaul"))
}
