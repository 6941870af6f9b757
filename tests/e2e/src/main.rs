//! Measures the house and breaks it on purpose: what `cargo xtask bench` and
//! `cargo xtask drill` run, beside the services built in the same way.
#![allow(clippy::print_stdout, reason = "a report is printed")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use streamhaul_e2e::delay::{Plan, Report};
use streamhaul_e2e::drill::{self, Finding};
use streamhaul_e2e::flood::Flood;
use streamhaul_e2e::{clip, forwarder};

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
    /// The bare forwarder itself.
    #[command(hide = true)]
    Forward {
        /// Where it listens.
        listen: SocketAddr,
        /// Where everything goes.
        to: SocketAddr,
    },
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
        What::Forward { listen, to } => {
            forwarder::forward(listen, to)?;
            Ok(ExitCode::SUCCESS)
        }
    }
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
