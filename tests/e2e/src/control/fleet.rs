//! What one `api` process uses for nodes that do nothing but live.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::nodes::{Nodes, Tally};
use super::{Plan, enrolment, progress, quantile};
use crate::house::{House, Service};
use crate::usage::{Usage, tree};
use crate::wait;

/// How long ten thousand nodes may take to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(300);
/// Before anything is measured: two heartbeats of every node.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long the last heartbeats may take to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Cores that `api` was busy on.
    pub(super) cpu_cores: f64,
    /// Megabytes that `api` had resident at the end.
    pub(super) rss_mb: f64,
    /// The same before any node came.
    pub(super) rss_empty_mb: f64,
    /// From a heartbeat to its answer: half of them, in milliseconds.
    pub(super) heartbeat_p50_ms: f64,
    /// All but a hundredth.
    pub(super) heartbeat_p99_ms: f64,
    /// The longest.
    pub(super) heartbeat_max_ms: f64,
    /// Heartbeats sent, for each second.
    pub(super) heartbeats_per_s: f64,
    /// Heartbeats that were never answered.
    pub(super) heartbeats_unanswered: u64,
    /// Streams that ended while they should not.
    pub(super) streams_lost: u32,
    /// How long it took until all nodes were connected.
    pub(super) connect_s: f64,
    /// Cores that PostgreSQL was busy on.
    pub(super) postgres_cpu_cores: f64,
    /// Cores that the simulation was busy on.
    pub(super) simulation_cpu_cores: f64,
}

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Figures> {
    let mut house = super::house()?;
    progress(&format!("enrolling {} nodes", plan.nodes));
    let enrolled = enrolment::enrol(&house, plan.nodes)?;
    let watched = Watched::new(&mut house)?;
    let empty = Usage::of(&watched.api)?;
    progress("connecting them");
    let begun = Instant::now();
    let nodes = Nodes::connect(&house.api_grpc(), enrolled)?;
    wait::until("every node is connected", CONNECT_LIMIT, || {
        (nodes.tally.connected.load(Ordering::Relaxed) == plan.nodes).then_some(())
    })?;
    let connect_s = begun.elapsed().as_secs_f64();
    thread::sleep(WARM_UP);
    progress("watching them");
    let lost = nodes.tally.lost.load(Ordering::Relaxed);
    let used = watched.during(plan.length, &nodes.tally)?;
    let sent = nodes.tally.sent.load(Ordering::Relaxed);
    let answers = answers(&nodes.tally, sent);
    ensure!(!answers.is_empty(), "no heartbeat was answered");
    let ms = |share| quantile(&answers, share).as_secs_f64() * 1e3;
    let seconds = used.elapsed.as_secs_f64();
    Ok(Figures {
        cpu_cores: used.api.cpu.as_secs_f64() / seconds,
        rss_mb: used.api.resident_bytes as f64 / 1e6,
        rss_empty_mb: empty.resident_bytes as f64 / 1e6,
        heartbeat_p50_ms: ms(0.5),
        heartbeat_p99_ms: ms(0.99),
        heartbeat_max_ms: ms(1.0),
        heartbeats_per_s: sent as f64 / seconds,
        heartbeats_unanswered: sent - answers.len() as u64,
        streams_lost: nodes.tally.lost.load(Ordering::Relaxed) - lost,
        connect_s,
        postgres_cpu_cores: used.postgres.cpu.as_secs_f64() / seconds,
        simulation_cpu_cores: used.simulation.cpu.as_secs_f64() / seconds,
    })
}

/// Waits for the last ones; then, the shortest first.
fn answers(tally: &Tally, sent: u64) -> Vec<Duration> {
    let all = || {
        let answers = tally.answers();
        (answers.len() as u64 == sent).then_some(answers)
    };
    wait::until("the last answers", LAST_ANSWERS, all).unwrap_or_else(|_| tally.answers())
}

/// The processes whose use is read.
struct Watched {
    api: Vec<u32>,
    postgres: u32,
}

/// What they used.
struct Used {
    elapsed: Duration,
    api: Usage,
    postgres: Usage,
    simulation: Usage,
}

impl Watched {
    fn new(house: &mut House) -> anyhow::Result<Self> {
        Ok(Self {
            api: vec![house.service(Service::Api)?.id()],
            postgres: house.postgres().id()?,
        })
    }

    fn during(&self, length: Duration, tally: &Tally) -> anyhow::Result<Used> {
        // Its processes come and go with connections: those of now are counted.
        let postgres = tree(self.postgres);
        let own = [std::process::id()];
        let look = || -> anyhow::Result<_> { Ok([&self.api[..], &postgres, &own].map(Usage::of)) };
        let before = look()?;
        let begun = Instant::now();
        tally.count(true);
        thread::sleep(length);
        tally.count(false);
        let elapsed = begun.elapsed();
        let [api, postgres, simulation] = look()?;
        let [api_before, postgres_before, simulation_before] = before;
        Ok(Used {
            elapsed,
            api: api?.since(&api_before?),
            postgres: postgres?.since(&postgres_before?),
            simulation: simulation?.since(&simulation_before?),
        })
    }
}
