//! How many sessions a second can be started, end to end: HTTP, placement, PostgreSQL.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::nodes::Nodes;
use super::{Plan, enrolment, progress, quantile};
use crate::house::{House, Service};
use crate::http::Client;
use crate::usage::Usage;
use crate::wait;

const CONNECT_LIMIT: Duration = Duration::from_secs(120);
/// How long nodes may take to be told of the last sessions.
const ASSIGN_LIMIT: Duration = Duration::from_secs(60);
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Sessions started, for each second.
    pub(super) starts_per_s: f64,
    /// Time to answer one start: half of them, in milliseconds.
    pub(super) start_p50_ms: f64,
    /// All but a hundredth.
    pub(super) start_p99_ms: f64,
    /// Cores that `api` was busy on meanwhile.
    pub(super) start_cpu_cores: f64,
    /// From the last start until every node had its sessions.
    pub(super) assigned_after_s: f64,
}

pub(super) fn measure(plan: &Plan) -> anyhow::Result<Figures> {
    let house = super::house()?;
    progress(&format!("starting sessions on {} nodes", plan.start_nodes));
    let nodes = enrolment::enrol(&house, plan.start_nodes)?;
    let nodes = Nodes::connect(&house.api_grpc(), nodes)?;
    wait::until("every node is connected", CONNECT_LIMIT, || {
        (nodes.tally.connected.load(Ordering::Relaxed) == plan.start_nodes).then_some(())
    })?;
    let callers = (0..plan.callers)
        .map(|number| caller(&house, number))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let api = [house.service(Service::Api)?.id()];
    let run = Run::of(&callers, plan.start_length, &api)?;
    let ended = Instant::now();
    wait::until("nodes have their sessions", ASSIGN_LIMIT, || {
        (nodes.tally.assigned.load(Ordering::Relaxed) >= run.all).then_some(())
    })?;
    let ms = |share| quantile(&run.took, share).as_secs_f64() * 1e3;
    Ok(Figures {
        starts_per_s: run.took.len() as f64 / run.elapsed.as_secs_f64(),
        start_p50_ms: ms(0.5),
        start_p99_ms: ms(0.99),
        start_cpu_cores: run.usage.cpu.as_secs_f64() / run.elapsed.as_secs_f64(),
        assigned_after_s: ended.elapsed().as_secs_f64(),
    })
}

/// A user of their own.
fn caller(house: &House, number: u32) -> anyhow::Result<Client> {
    let user = json!({"name": format!("caller{number}")});
    let made = house.api().post("/api/v1/ops/users", &user)?.success()?;
    let token = made["token"].as_str().context("no token")?;
    Ok(house.api_as(token))
}

/// Starts, as many as go.
struct Run {
    elapsed: Duration,
    usage: Usage,
    /// Those that were judged, the shortest first.
    took: Vec<Duration>,
    /// All that there were.
    all: u64,
}

impl Run {
    fn of(callers: &[Client], length: Duration, api: &[u32]) -> anyhow::Result<Self> {
        let (judged, over) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let workers: Vec<_> = callers
                .iter()
                .map(|caller| scope.spawn(|| work(caller, &judged, &over)))
                .collect();
            thread::sleep(WARM_UP);
            let before = Usage::of(api)?;
            let begun = Instant::now();
            judged.store(true, Ordering::Relaxed);
            thread::sleep(length);
            judged.store(false, Ordering::Relaxed);
            let (elapsed, usage) = (begun.elapsed(), Usage::of(api)?.since(&before));
            over.store(true, Ordering::Relaxed);
            let (mut took, mut all) = (Vec::new(), 0);
            for worker in workers {
                let (part, started) = worker.join().ok().context("a caller died")??;
                took.extend(part);
                all += started;
            }
            took.sort_unstable();
            ensure!(!took.is_empty(), "no session was started in {length:?}");
            Ok(Self {
                elapsed,
                usage,
                took,
                all,
            })
        })
    }
}

/// Starts one session after the other.
fn work(
    caller: &Client,
    judged: &AtomicBool,
    over: &AtomicBool,
) -> anyhow::Result<(Vec<Duration>, u64)> {
    let (mut took, mut started) = (Vec::new(), 0);
    while !over.load(Ordering::Relaxed) {
        let request = json!({"connection_id": format!("cam{started}")});
        let begun = Instant::now();
        let answer = caller.post("/api/v1/relay/start", &request)?;
        let length = begun.elapsed();
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.text);
        started += 1;
        if judged.load(Ordering::Relaxed) {
            took.push(length);
        }
    }
    Ok((took, started))
}
