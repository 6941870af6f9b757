//! Byte-budget placement against what other systems do, on a real fleet with its
//! providers' real caps, for 60 days.
//!
//! Nothing of a trace or of what the providers really do is known to a strategy. Every
//! scene is run with several seeds and the worst is reported; when ours misses a bar, it is
//! named and the exit code is 1. Usage:
//! `fleet_sim [--json] [--seeds N] [--days N] [--scene NAME]`
#![allow(clippy::print_stdout, reason = "its output is the result")]

mod fleet;
mod oracle;
mod ours;
mod provider;
mod random;
mod report;
mod run;
mod strategy;
mod trace;

use std::process::ExitCode;

use fleet::Fleet;
use provider::Provider;
use random::Random;
use report::{Result, Row};
use run::{START, Scene};
use strategy::Strategy;
use trace::Level;

/// A fleet and how busy it is.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    fleet: Fleet,
    level: Level,
}

const SETTINGS: [Setting; 6] = [
    setting("quiet", Fleet::Trimmed, (5.0, 5.0), 4),
    setting("usual", Fleet::Whole, (30.0, 30.0), 8),
    setting("busy", Fleet::Whole, (50.0, 50.0), 8),
    setting("busy-trimmed", Fleet::Trimmed, (45.0, 45.0), 8),
    setting("growing", Fleet::Whole, (20.0, 70.0), 8),
    setting("busy-with-cloud", Fleet::WithCloud, (75.0, 75.0), 10),
];

const fn setting(name: &'static str, fleet: Fleet, live: (f64, f64), events: u32) -> Setting {
    Setting {
        name,
        fleet,
        level: Level { live, events },
    }
}

struct Options {
    json: bool,
    seeds: u64,
    days: u32,
    scene: Option<String>,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        println!("usage: fleet_sim [--json] [--seeds N] [--days N] [--scene NAME]");
        return ExitCode::from(2);
    };
    let wanted = |it: &&Setting| options.scene.as_ref().is_none_or(|name| it.name == name);
    let results: Vec<Result> = SETTINGS
        .iter()
        .filter(wanted)
        .map(|setting| simulate(setting, &options))
        .collect();
    if options.json {
        println!("{}", report::json(&results, options.seeds));
    } else {
        report::table(&results, options.seeds);
    }
    if report::missed(&results).is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn options() -> Option<Options> {
    let mut options = Options {
        json: false,
        seeds: 3,
        days: 60,
        scene: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--seeds" => options.seeds = arguments.next()?.parse().ok().filter(|it| *it > 0)?,
            "--days" => options.days = arguments.next()?.parse().ok().filter(|it| *it > 0)?,
            "--scene" => options.scene = arguments.next(),
            _ => return None,
        }
    }
    Some(options)
}

fn simulate(setting: &Setting, options: &Options) -> Result {
    let mut rows = contenders();
    let mut infeasible_minutes = 0;
    for seed in 1..=options.seeds {
        let mut random = Random::new(seed.wrapping_mul(0x0012_3456_789a_bcdf));
        let sites = fleet::sites(setting.fleet);
        let streams = trace::streams(setting.level, options.days, &mut random);
        let providers: Vec<Provider> = sites
            .iter()
            .map(|site| Provider::new(&site.policy, &mut random))
            .collect();
        let demand = run::demand(&streams, options.days as usize * 1440);
        let feasible = oracle::feasible(&sites, &providers, &demand, START);
        infeasible_minutes += feasible.iter().filter(|it| !**it).count();
        let scene = Scene {
            sites: &sites,
            providers: &providers,
            streams: &streams,
            feasible: &feasible,
            seed,
        };
        for row in &mut rows {
            row.outcomes
                .push(run::run(&scene, row.strategy, row.careful));
        }
    }
    Result {
        name: setting.name,
        infeasible_minutes,
        rows,
    }
}

/// Ours, then each peer as it comes and with a careful operator's session limits.
fn contenders() -> Vec<Row> {
    let mut rows = vec![Row::new(Strategy::ByteBudget, false)];
    for careful in [false, true] {
        rows.extend(Strategy::PEERS.map(|strategy| Row::new(strategy, careful)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(name: &'static str, days: u32) -> Result {
        let options = Options {
            json: false,
            seeds: 1,
            days,
            scene: None,
        };
        let setting = SETTINGS.iter().find(|it| it.name == name);
        simulate(setting.expect("a scene"), &options)
    }

    #[test]
    fn ours_holds_its_bars_where_peers_do_not() {
        let result = days("busy-trimmed", 5);
        let peers = &result.rows[1..];
        let capped = |row: &Row| row.outcomes.iter().any(|it| it.capped_minutes > 0);
        assert!(peers.iter().any(capped), "no cap bit: it proves nothing");
        assert_eq!(report::missed(&[result]), Vec::<String>::new());
    }

    #[test]
    fn a_missed_bar_is_named() {
        let mut result = days("quiet", 1);
        result.rows[0].outcomes[0].capped_minutes = 7;
        result.rows[0].outcomes[0].moves = u64::MAX / 2000;
        let missed = report::missed(&[result]);
        assert_eq!(missed[0], "capped_stream_minutes is 7, more than 0");
        assert!(missed[1].starts_with("moves_per_1000 is "), "{missed:?}");
    }
}
