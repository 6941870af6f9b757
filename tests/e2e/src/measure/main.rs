//! Measures the house and breaks it on purpose: what `cargo xtask bench` and
//! `cargo xtask drill` run, beside the services built in the same way.
#![allow(clippy::print_stdout, reason = "a report is printed")]

mod arguments;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Ingest, Relay, What};
use clap::Parser;
use streamhaul_e2e::bench::{self, Bench, Peer, Profile};
use streamhaul_e2e::bonder::Bonder;
use streamhaul_e2e::delay::{Plan, Report};
use streamhaul_e2e::flood::Flood;
use streamhaul_e2e::flood_drill::{self, Plan as FloodPlan, Speech};
use streamhaul_e2e::ingest::{self, Target};
use streamhaul_e2e::queue_bench::{self, Plan as QueuePlan};
use streamhaul_e2e::queue_drill::{self, Plan as QueueDrillPlan};
use streamhaul_e2e::replica::{self, Plan as ReplicaPlan};
use streamhaul_e2e::restart::{self, Plan as RestartPlan};
use streamhaul_e2e::{clip, control, dock, drill, forwarder};

/// `relay` proves with it that the engine allocates nothing for a packet.
#[global_allocator]
static COUNTING: bench::Counting = bench::Counting;

/// What starting, warming up and ending take of a run.
const OVERHEAD_SECONDS: u64 = 14;
const TURNS: u32 = 3;

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().what {
        What::Delay {
            seconds,
            mbps,
            json,
        } => {
            let each = Duration::from_secs(seconds.saturating_sub(OVERHEAD_SECONDS).max(4) / 2);
            let report = Report::measure(Plan {
                rate_bps: mbps * 1_000_000,
                each,
                turns: TURNS,
            })?;
            Ok(concluded(
                json,
                &report,
                &report.to_json(),
                report.meets_bars(),
            ))
        }
        What::Garbage {
            random,
            mutated,
            rate,
            seed,
            json,
        } => {
            let clip = clip::make(&scratch()?)?;
            let finding = drill::garbage(
                Flood {
                    seed,
                    random,
                    mutated,
                    rate_pps: rate,
                },
                &clip,
            )?;
            let passed = finding.judge().is_ok();
            Ok(concluded(json, &finding, &finding.to_json(), passed))
        }
        What::Flood {
            seconds,
            rate,
            json,
        } => {
            let plan = FloodPlan {
                length: Duration::from_secs(seconds),
                rate_pps: rate,
                speech: Speech::Srt,
            };
            flood(plan, json)
        }
        What::Srtla {
            seconds,
            rate,
            json,
        } => {
            let plan = FloodPlan {
                length: Duration::from_secs(seconds),
                rate_pps: rate,
                speech: Speech::Srtla,
            };
            flood(plan, json)
        }
        What::Restart {
            srtla_send,
            latency,
            json,
        } => {
            let plan = RestartPlan {
                bonder: srtla_send.map_or(Bonder::Own, Bonder::Program),
                latency: Duration::from_millis(latency),
            };
            let finding = restart::run(&plan, &scratch()?)?;
            Ok(concluded(
                json,
                &finding,
                &finding.to_json(),
                finding.meets_bars(),
            ))
        }
        What::Replica {
            nodes,
            callers,
            json,
        } => {
            let plan = ReplicaPlan { nodes, callers };
            let finding = replica::run(plan, &clip::make(&scratch()?)?)?;
            Ok(concluded(
                json,
                &finding,
                &finding.to_json(),
                finding.meets_bars(),
            ))
        }
        What::Control {
            nodes,
            seconds,
            start_nodes,
            start_seconds,
            callers,
            json,
        } => {
            let report = control::measure(&control::Plan {
                nodes,
                length: Duration::from_secs(seconds),
                start_nodes,
                start_length: Duration::from_secs(start_seconds),
                callers,
            })?;
            Ok(concluded(
                json,
                &report,
                &report.to_json(),
                report.meets_bars(),
            ))
        }
        What::Jobs {
            jobs,
            turns,
            singles,
            held_seconds,
            held_rate,
            peer_river,
            json,
        } => {
            let plan = QueuePlan {
                jobs,
                turns,
                singles,
                held: Duration::from_secs(held_seconds),
                held_rate,
            };
            let report = queue_bench::measure(&plan, peer_river.as_deref())?;
            Ok(concluded(
                json,
                &report,
                &report.to_json(),
                report.meets_bars(),
            ))
        }
        What::JobsDrill {
            jobs,
            workers,
            kill_every,
            restarts,
            seed,
            json,
        } => {
            let plan = QueueDrillPlan {
                jobs,
                workers: workers as usize,
                kill_interval: Duration::from_millis(kill_every),
                restarts,
                seed,
                program: std::env::current_exe()?,
            };
            let finding = queue_drill::run(&plan, &scratch()?)?;
            Ok(concluded(
                json,
                &finding,
                &finding.to_json(),
                finding.meets_bars(),
            ))
        }
        What::JobsWorker { database_url } => {
            queue_drill::worker::run(&database_url)?;
            Ok(ExitCode::SUCCESS)
        }
        What::Ingest(options) => measure_ingest(*options),
        What::TelemetrySdk { program } => {
            ingest::sdk::check(&program)?;
            println!("the published SDK syncs, twice, and its bytes again add nothing");
            Ok(ExitCode::SUCCESS)
        }
        What::IngestDrill {
            gateway_kills,
            database_kills,
            interval,
            clients,
            gateways,
            replacements,
            spool,
            nats_writers,
            acknowledge_early,
            log_kills,
            json,
        } => {
            let finding = ingest::drill::run(ingest::drill::Plan {
                setup: ingest::Setup {
                    gateways,
                    has_spool: spool,
                    nats: nats_writers.map(|writers| ingest::NatsSetup {
                        writers,
                        acknowledges_early: acknowledge_early,
                    }),
                },
                log_kills,
                replacements,
                gateway_kills,
                database_kills,
                interval: Duration::from_millis(interval),
                clients,
            })?;
            Ok(concluded(
                json,
                &finding,
                &finding.to_json(),
                finding.meets_bars(),
            ))
        }
        What::IngestHostile {
            seconds,
            forged,
            dawdlers,
            events,
            json,
        } => {
            let finding = ingest::hostile::run(ingest::hostile::Plan {
                length: Duration::from_secs(seconds),
                forged_per_s: forged,
                dawdlers,
                events_per_s: events,
            })?;
            Ok(concluded(
                json,
                &finding,
                &finding.to_json(),
                finding.meets_bars(),
            ))
        }
        What::Relay(options) => measure_relay(*options),
        What::RelayFloor { routes } => {
            bench::run_floor(&routes)?;
            Ok(ExitCode::SUCCESS)
        }
        What::Dock { web } => {
            dock::check(&web)?;
            Ok(ExitCode::SUCCESS)
        }
        What::Forward { listen, to } => {
            forwarder::forward(listen, to)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn flood(plan: FloodPlan, json: bool) -> anyhow::Result<ExitCode> {
    let finding = flood_drill::run(plan, &scratch()?)?;
    Ok(concluded(
        json,
        &finding,
        &finding.to_json(),
        finding.meets_bars(),
    ))
}

fn measure_ingest(options: Ingest) -> anyhow::Result<ExitCode> {
    let (command, connections) = (options.peer, options.peer_connections);
    let peer = options.peer_url.map(|url| ingest::Peer {
        command,
        target: Target {
            url,
            org: options.peer_org.unwrap_or_default(),
            app: options.peer_app.unwrap_or_default(),
            token: options.peer_token,
            secret: options.peer_secret.unwrap_or_default(),
        },
        connections,
    });
    let report = ingest::measure(&ingest::Plan {
        length: Duration::from_secs(options.seconds),
        turns: options.turns,
        connections: options.connections,
        batch: options.batch as usize,
        peer,
    })?;
    Ok(concluded(
        options.json,
        &report,
        &report.to_json(),
        report.meets_bars(),
    ))
}

fn measure_relay(options: Relay) -> anyhow::Result<ExitCode> {
    let profiles = if options.profile.is_empty() {
        Profile::ALL.to_vec()
    } else {
        options.profile
    };
    let peer = options.peer.map(|command| Peer {
        command,
        publish: options.peer_publish.unwrap_or_default(),
        srtla: options.peer_srtla,
        play: options.peer_play.unwrap_or_default(),
        pinned: options.pin_peer,
    });
    let asked = bench::Options {
        length: Duration::from_secs(options.seconds),
        profiles,
        rounds: options.rounds,
        peer,
        node_settings: options.node_arg,
        pinned: !options.no_pin,
    };
    let report = Bench::new(asked, &scratch()?)?.run()?;
    Ok(concluded(
        options.json,
        &report,
        &report.to_json(),
        report.meets_bars(),
    ))
}

/// Prints what came of it, and says it to whoever ran this.
fn concluded(as_json: bool, report: &impl Display, json: &impl Display, passed: bool) -> ExitCode {
    if as_json {
        println!("{json}");
    } else {
        print!("{report}");
    }
    match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Beside the binaries, so that a clean build forgets it.
fn scratch() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name("streamhaul-measure-files"))
}
