//! `cargo xtask drill …`: breaks things on purpose, and says what happened.

mod backup;

use std::process::ExitCode;

use anyhow::bail;

use crate::{bench, up};

const USAGE: &str =
    "usage: cargo xtask drill garbage [--random N] [--mutated N] [--rate PPS] [--seed N] [--json]
       cargo xtask drill flood [--seconds N] [--rate PPS] [--json]
       cargo xtask drill srtla [--seconds N] [--rate PPS] [--json]
       cargo xtask drill jobs [--jobs N] [--workers N] [--kill-every MS] [--restarts N] [--seed N] [--json]
       cargo xtask drill ingest [--gateway-kills N] [--database-kills N] [--interval MS] [--clients N] [--json]
       cargo xtask drill backup [--rows N] [--debug] [--json]
       cargo xtask drill replica [--nodes N] [--callers N] [--json]
       cargo xtask drill restart [--srtla-send PATH] [--latency MS] [--json]";

/// Runs the drill that `arguments` name, such as `garbage --json`.
///
/// # Errors
/// When the build fails or the name is unknown.
pub fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let measured = match arguments.first().map(String::as_str) {
        Some("garbage" | "replica") => bench::measure(arguments),
        Some("jobs") => {
            let own_name = std::iter::once("jobs-drill".to_owned());
            let arguments: Vec<String> = own_name.chain(arguments[1..].iter().cloned()).collect();
            bench::measure_alone(&arguments)
        }
        Some("ingest") => {
            let own_name = std::iter::once("ingest-drill".to_owned());
            let arguments: Vec<String> = own_name.chain(arguments[1..].iter().cloned()).collect();
            bench::measure_ingest(&arguments)
        }
        Some("flood" | "srtla" | "restart") => bench::measure_relay(arguments),
        Some("backup") => return backup::run(arguments).map(verdict),
        _ => bail!("{USAGE}"),
    };
    measured.map(up::exit_code)
}

fn verdict(holds: bool) -> ExitCode {
    match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
