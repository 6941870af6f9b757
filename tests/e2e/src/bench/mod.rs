//! What a relay costs: CPU time for what it delivers, the delay that it adds,
//! memory and loss, beside a bare forwarder and, if one is given, somebody
//! else's relay.
//!
//! Every figure is a ratio of one run on one machine: the ways take turns, so
//! that what disturbs the machine disturbs all of them, and medians are
//! compared. The [`generator`] speaks SRT to a relay as libsrt's callers do;
//! between the two processes lie the kernel's sockets and nothing else.
//!
//! To add a profile: a variant of [`Profile`] with its numbers, and its share of
//! the time. To add a bar: a line in [`report`].

mod allocations;
mod batch;
mod clock;
mod cores;
mod figures;
mod floor;
mod generator;
mod maximum;
mod outlet;
mod payload;
mod peer;
mod player;
mod profile;
mod publisher;
mod report;
mod socket;
mod tally;
mod way;

use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use cores::Cores;
use figures::Figures;
use generator::Load;
use way::{Ground, Way};

pub use allocations::Counting;
pub(crate) use figures::{median, rounded};
pub use peer::Peer;
pub use profile::{Profile, Shape};
pub use report::Report;
pub(crate) use way::allow_many_sockets;

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long all takes, about.
    pub length: Duration,
    /// What to measure.
    pub profiles: Vec<Profile>,
    /// How many turns each way has, instead of the profile's own number.
    pub rounds: Option<u32>,
    /// Somebody else's relay.
    pub peer: Option<Peer>,
    /// Settings of the relay node, such as `LATENCY_MARGIN_MS=0`.
    pub node_settings: Vec<(String, String)>,
    /// Whether generator and relay get a core each.
    pub pinned: bool,
}

/// A machine made ready to measure on.
pub struct Bench {
    options: Options,
    ground: Ground,
    machine: serde_json::Value,
    _files: tempfile::TempDir,
}

/// What is sent before figures are taken.
const WARM_UP: Duration = Duration::from_millis(400);

impl Bench {
    /// Shares out the machine; files of the run go below `dir`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(options: Options, dir: &std::path::Path) -> anyhow::Result<Self> {
        let machine = crate::machine::describe();
        way::allow_many_sockets()?;
        let cores = Cores::share(options.pinned)?;
        cores.pin_generator()?;
        let files = way::scratch(dir)?;
        let ground = Ground {
            cores,
            node_settings: options.node_settings.clone(),
            peer: options.peer.clone(),
            dir: PathBuf::from(files.path()),
        };
        Ok(Self {
            options,
            ground,
            machine,
            _files: files,
        })
    }

    /// Measures every profile that was asked for.
    ///
    /// # Errors
    /// When a way cannot be built or breaks.
    pub fn run(&self) -> anyhow::Result<Report> {
        let mut report = Report::new(self.machine.clone());
        report.set_allocations(allocations::per_packet()?);
        for &profile in &self.options.profiles {
            self.measure(profile, &mut report)
                .with_context(|| format!("the profile `{}`", profile.name()))?;
        }
        Ok(report)
    }

    fn measure(&self, profile: Profile, report: &mut Report) -> anyhow::Result<()> {
        if profile == Profile::Max {
            return maximum::search(self, report);
        }
        self.take_turns(profile, profile.shape(), report)
    }

    /// Measures every way through `shape` in turns and reports medians under the
    /// name of `profile`.
    ///
    /// # Errors
    /// When a way cannot be built or breaks.
    pub fn take_turns(
        &self,
        profile: Profile,
        shape: Shape,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let ways = self.ways(profile);
        let rounds = self.options.rounds.unwrap_or(profile.rounds());
        let judged = self.judged(profile, ways.len() as u32 * rounds);
        let mut turns: Vec<Vec<Figures>> = vec![Vec::new(); ways.len()];
        for round in 0..rounds {
            for (way, turns) in ways.iter().zip(&mut turns) {
                let figures = self.turn(*way, shape, judged)?;
                tell(profile, round, *way, &figures);
                turns.push(figures);
            }
        }
        for (way, turns) in ways.iter().zip(&turns) {
            report.add(profile, *way, Figures::median(turns));
        }
        if profile.has_direct() {
            let figures = self.turn(Way::Direct, shape, judged.min(DIRECT_MAX))?;
            tell(profile, 0, Way::Direct, &figures);
            report.add(profile, Way::Direct, figures);
        }
        Ok(())
    }

    /// Measures one way once.
    fn turn(&self, way: Way, shape: Shape, judged: Duration) -> anyhow::Result<Figures> {
        let mut standing = self.ground.stand(way, shape)?;
        let load = Load {
            rate_bps: shape.rate_bps,
            warm_up: WARM_UP,
            judged,
        };
        let outcome = standing.generator.measure(load, &standing.watched)?;
        if outcome.closed > 0 {
            progress(&format!(
                "{}: {} connections were ended; {}",
                way.name(),
                outcome.closed,
                standing.log()
            ));
        }
        standing.generator.shut_down();
        Ok(Figures::of(&outcome))
    }

    /// The ways of a profile; the floor has no idle sessions, and knows no links.
    fn ways(&self, profile: Profile) -> Vec<Way> {
        let peer = self.options.peer.as_ref();
        if profile == Profile::Bonded {
            let bonded_peer = peer.filter(|peer| peer.srtla.is_some());
            let bonded_peer = bonded_peer.map(|_| Way::BondedPeer);
            return [Way::Relay, Way::Bonded]
                .into_iter()
                .chain(bonded_peer)
                .collect();
        }
        let floor = (profile != Profile::Idle).then_some(Way::Floor);
        let peer = peer.map(|_| Way::Peer);
        floor.into_iter().chain([Way::Relay]).chain(peer).collect()
    }

    /// How long each of `turns` is judged.
    fn judged(&self, profile: Profile, turns: u32) -> Duration {
        let asked: u32 = self
            .options
            .profiles
            .iter()
            .map(|profile| profile.time_parts())
            .sum();
        let share = self.options.length * profile.time_parts() / asked.max(1);
        (share / turns)
            .saturating_sub(profile::OVERHEAD)
            .max(profile::JUDGED_MIN)
    }
}

/// The direct way is steady: it needs no longer.
const DIRECT_MAX: Duration = Duration::from_secs(1);

/// Runs the bare forwarder on the socket that is this process's standard input.
///
/// # Errors
/// When there is none, or it fails.
pub fn run_floor(routes: &str) -> anyhow::Result<()> {
    let socket: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    floor::run(&UdpSocket::from(socket), routes)
}

fn tell(profile: Profile, round: u32, way: Way, figures: &Figures) {
    progress(&format!(
        "{:<12} {} {:<11} {:>7.1} Mbit/s {:>7.2} µs/packet {:>6.1} % core  loss {:.4} %  p99 {:.0} µs  (generator {:.0} %)",
        profile.name(),
        round + 1,
        way.name(),
        figures.mbps,
        figures.us_per_packet,
        figures.core_ratio * 100.0,
        figures.loss_ratio * 100.0,
        figures.delay_p99_us,
        figures.generator_core_ratio * 100.0,
    ));
}

#[allow(clippy::print_stderr, reason = "progress is for who waits")]
fn progress(line: &str) {
    eprintln!("{line}");
}
