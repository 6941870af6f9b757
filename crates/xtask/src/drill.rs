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
       cargo xtask drill ingest [--gateway-kills N] [--database-kills N] [--interval MS] [--clients N]
         [--gateways N] [--replacements N] [--spool] [--nats WRITERS [--acknowledge-early]] [--log-kills N] [--json]
       cargo xtask drill hostile [--seconds N] [--forged N] [--dawdlers N] [--events N] [--json]
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
        Some("jobs") => bench::measure_alone(&named("jobs-drill", arguments)),
        Some("ingest") => bench::measure_ingest(&named("ingest-drill", arguments)),
        Some("hostile") => bench::measure_ingest(&named("ingest-hostile", arguments)),
        Some("flood" | "srtla" | "restart") => bench::measure_relay(arguments),
        Some("backup") => return backup::run(arguments).map(verdict),
        _ => bail!("{USAGE}"),
    };
    measured.map(up::exit_code)
}

/// The arguments of a drill that the measuring program knows by another name.
fn named(name: &str, arguments: &[String]) -> Vec<String> {
    let rest = arguments.iter().skip(1).cloned();
    std::iter::once(name.to_owned()).chain(rest).collect()
}

fn verdict(holds: bool) -> ExitCode {
    match holds {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
