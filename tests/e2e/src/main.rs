//! Measures the house and breaks it on purpose: what `cargo xtask bench` and
//! `cargo xtask drill` run, beside the services built in the same way.
#![allow(clippy::print_stdout, reason = "a report is printed")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use streamhaul_e2e::bench::{self, Bench, Peer, Profile};
use streamhaul_e2e::bonder::Bonder;
use streamhaul_e2e::delay::{Plan, Report};
use streamhaul_e2e::drill::{self, Finding};
use streamhaul_e2e::flood::Flood;
use streamhaul_e2e::flood_drill::{self, Plan as FloodPlan, Speech};
use streamhaul_e2e::queue_bench::{self, Plan as QueuePlan};
use streamhaul_e2e::queue_drill::{self, Plan as QueueDrillPlan};
use streamhaul_e2e::replica::{self, Plan as ReplicaPlan};
use streamhaul_e2e::restart::{self, Plan as RestartPlan};
use streamhaul_e2e::{clip, control, dock, forwarder};

/// `relay` proves with it that the engine allocates nothing for a packet.
#[global_allocator]
static COUNTING: bench::Counting = bench::Counting;

#[derive(Parser)]
#[command(about = "Measures a relay node from outside.")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The delay that a node adds, over that of a bare forwarder.
    Delay {
        /// How long it takes, about.
        #[arg(long, default_value_t = 50)]
        seconds: u64,
        /// Payload megabits a second.
        #[arg(long, default_value_t = 50)]
        mbps: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Random datagrams and mutated handshakes at a node with a stream.
    Garbage {
        /// Random datagrams.
        #[arg(long, default_value_t = 1_000_000)]
        random: u64,
        /// Mutated handshakes.
        #[arg(long, default_value_t = 1_000_000)]
        mutated: u64,
        /// Datagrams a second.
        #[arg(long, default_value_t = 60_000)]
        rate: u64,
        /// Decides every byte.
        #[arg(long, default_value_t = 6)]
        seed: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Handshakes from spoofed sources at a node with a stream.
    Flood {
        /// How long, at least.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Handshakes a second.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
        rate: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// SRTLA from spoofed sources at a node with a bonded stream.
    Srtla {
        /// How long, at least.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Datagrams a second.
        #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
        rate: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// How long a bonded stream's picture is gone when its node is restarted.
    Restart {
        /// A program to bond with, run as BELABOX's `srtla_send` is; else our own.
        #[arg(long, value_name = "PATH")]
        srtla_send: Option<PathBuf>,
        /// The latency that encoder and player ask for, in milliseconds.
        #[arg(long, default_value_t = 2000)]
        latency: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What the control plane costs: nodes on their streams, decisions, starts.
    Control {
        /// Nodes on their streams.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        nodes: u32,
        /// How long they are watched.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Nodes that sessions are started on, and decisions are made against.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        start_nodes: u32,
        /// How long sessions are started.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        start_seconds: u64,
        /// Callers that start sessions at the same time.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
        callers: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Kills one of two replicas of the control plane in the middle of everything.
    Replica {
        /// Simulated nodes beside the real one.
        #[arg(long, default_value_t = 200)]
        nodes: u32,
        /// Callers that start and stop sessions all the time.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
        callers: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What the job engine does in a second, also beside a transaction that stays open.
    Jobs {
        /// Jobs of one turn.
        #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1000..))]
        jobs: u32,
        /// Turns; their medians count.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        turns: u32,
        /// Jobs that are timed one by one.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
        singles: u32,
        /// How long the open transaction has been open before it is measured.
        #[arg(long, default_value_t = 600)]
        held_seconds: u64,
        /// Jobs a second that are done meanwhile.
        #[arg(long, default_value_t = 1000)]
        held_rate: u32,
        /// Run the bench of River's command at this path too, on the same cluster.
        #[arg(long, value_name = "PATH")]
        peer_river: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Kills workers of the job engine, and their database, in the middle of jobs.
    JobsDrill {
        /// Jobs in all.
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
        jobs: u32,
        /// Worker processes.
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
        workers: u32,
        /// Between two kills, about, in milliseconds.
        #[arg(long, default_value_t = 700)]
        kill_every: u64,
        /// How often PostgreSQL is killed and started again.
        #[arg(long, default_value_t = 2)]
        restarts: u32,
        /// Decides who dies when.
        #[arg(long, default_value_t = 6)]
        seed: u64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// One worker of that drill.
    #[command(hide = true)]
    JobsWorker {
        /// The drill's database.
        #[arg(long)]
        database_url: String,
    },
    /// What a node costs, beside a bare forwarder and another relay.
    Relay(Box<Relay>),
    /// The bare forwarder that `relay` measures against.
    #[command(hide = true)]
    RelayFloor {
        /// Which port goes to which.
        routes: String,
    },
    /// The dock in a headless browser, on the real services.
    Dock {
        /// Where the page's sources are.
        web: PathBuf,
    },
    /// The bare forwarder itself.
    #[command(hide = true)]
    Forward {
        /// Where it listens.
        listen: SocketAddr,
        /// Where everything goes.
        to: SocketAddr,
    },
}

/// Options of `relay`.
#[derive(clap::Args)]
struct Relay {
    /// How long it takes, about.
    #[arg(long, default_value_t = 110)]
    seconds: u64,
    /// Only this profile; may be repeated.
    #[arg(long, value_enum)]
    profile: Vec<Profile>,
    /// How many turns each way has, instead of the profile's own number.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Measure this relay too: a command for `sh -c`. `{streams}` and
    /// `{players}` stand for the profile's numbers.
    #[arg(long, requires = "peer_publish", requires = "peer_play")]
    peer: Option<String>,
    /// Where the peer's stream `{n}` is published: srt://HOST:PORT?streamid=TEXT;
    /// `{n:03}` is the number in three digits.
    #[arg(long, requires = "peer")]
    peer_publish: Option<String>,
    /// Where it is published over several links, if the peer takes SRTLA.
    #[arg(long, requires = "peer")]
    peer_srtla: Option<String>,
    /// Where it is played.
    #[arg(long, requires = "peer")]
    peer_play: Option<String>,
    /// Hold the peer on one core, as the node is.
    #[arg(long, requires = "peer")]
    pin_peer: bool,
    /// A setting of the node, such as `LATENCY_MARGIN_MS=0`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    node_arg: Vec<(String, String)>,
    /// Let the kernel choose who runs where.
    #[arg(long)]
    no_pin: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

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
            print_delay(&report, json);
            Ok(exit_code(report.meets_bars()))
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
            print_garbage(&finding, json);
            Ok(exit_code(finding.judge().is_ok()))
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
            if json {
                println!("{}", finding.to_json());
            } else {
                print!("{finding}");
            }
            Ok(exit_code(finding.meets_bars()))
        }
        What::Replica {
            nodes,
            callers,
            json,
        } => {
            let plan = ReplicaPlan { nodes, callers };
            let finding = replica::run(plan, &clip::make(&scratch()?)?)?;
            if json {
                println!("{}", finding.to_json());
            } else {
                print!("{finding}");
            }
            Ok(exit_code(finding.meets_bars()))
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
            if json {
                println!("{}", report.to_json());
            } else {
                print!("{report}");
            }
            Ok(exit_code(report.meets_bars()))
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
            if json {
                println!("{}", report.to_json());
            } else {
                print!("{report}");
            }
            Ok(exit_code(report.meets_bars()))
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
            if json {
                println!("{}", finding.to_json());
            } else {
                print!("{finding}");
            }
            Ok(exit_code(finding.meets_bars()))
        }
        What::JobsWorker { database_url } => {
            queue_drill::worker::run(&database_url)?;
            Ok(ExitCode::SUCCESS)
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
    if json {
        println!("{}", finding.to_json());
    } else {
        print!("{finding}");
    }
    Ok(exit_code(finding.meets_bars()))
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
    if options.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(exit_code(report.meets_bars()))
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

const fn exit_code(passed: bool) -> ExitCode {
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Beside the binaries, so that a clean build forgets it.
fn scratch() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name("streamhaul-measure-files"))
}

fn print_delay(report: &Report, json: bool) {
    if json {
        println!("{}", report.to_json());
        return;
    }
    println!(
        "{:<10} {:>10} {:>10} {:>10} {:>10}",
        "delay, µs", "p50", "p99", "p99.9", "datagrams"
    );
    for (name, delays) in [("floor", &report.floor), ("relay", &report.relay)] {
        let us = |share| delays.quantile(share).as_micros();
        println!(
            "{name:<10} {:>10} {:>10} {:>10} {:>10}",
            us(0.5),
            us(0.99),
            us(0.999),
            delays.received()
        );
    }
    let us = |share| report.added(share).as_micros();
    println!(
        "{:<10} {:>10} {:>10} {:>10}",
        "added",
        us(0.5),
        us(0.99),
        us(0.999)
    );
}

fn print_garbage(finding: &Finding, json: bool) {
    if json {
        println!("{}", finding.to_json());
        return;
    }
    println!(
        "sent {} in {:?}, {} replies",
        finding.outcome.sent, finding.outcome.elapsed, finding.outcome.replies
    );
    for (reason, count) in finding.dropped.iter().filter(|(_, count)| *count > 0.0) {
        println!("  {reason:<20} {count:>10}");
    }
    println!("  {:<20} {:>10}", "(in the kernel)", finding.kernel_drops);
    println!(
        "memory grew by {} KiB, {} lines logged",
        finding.grown_bytes >> 10,
        finding.logged_lines
    );
    match finding.judge() {
        Ok(()) => println!("nothing else happened: the stream came out as it went in"),
        Err(error) => println!("FAILED: {error:#}"),
    }
}
