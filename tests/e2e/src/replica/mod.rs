//! One of two replicas of the control plane is killed while nodes have their streams on
//! it, a picture is on air and sessions come and go, and what came of it.

mod callers;
mod finding;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::control::enrolment;
use crate::control::nodes::Nodes;
use crate::house::{House, Options, Service};
use crate::{drill, media, wait};

use callers::Callers;
pub use finding::Finding;

/// How much there is at the time.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Simulated nodes beside the real one that carries the picture.
    pub nodes: u32,
    /// Callers that start and stop sessions all the time.
    pub callers: u32,
}

/// Before and after the kill: sessions come and go.
const TRAFFIC: Duration = Duration::from_secs(4);
/// How long things may take at all.
const PATIENCE: Duration = Duration::from_secs(60);
const STREAMS: &str = "streamhaul_api_fleet_streams";
const REPLICAS: [Service; 2] = [Service::Api, Service::SecondApi];

/// Kills the replica that the real node has its stream on.
///
/// # Errors
/// When the house or the stream does not come up, or nodes never come back.
pub fn run(plan: Plan, clip: &Path) -> anyhow::Result<Finding> {
    let mut house = House::start_with(Options::patient().replicated().unlimited())?;
    let session = house.start_session("cam1")?;
    let (sent, received) = (house.file("sent.ts"), house.file("received.ts"));
    let mut publisher = media::publish_repeatedly(clip, 20, &session.publish_url, &sent)?;
    house.wait_publishers(1)?;
    let mut player = media::record(&session.play_url, &received)?;
    let [victim, survivor] = victim(&house)?;
    let nodes = Nodes::connect(
        &house.replicas_grpc(),
        enrolment::enrol(&house, plan.nodes)?,
    )?;
    wait::until("every node is connected", PATIENCE, || {
        let connected = streams(&house, victim)? + streams(&house, survivor)?;
        (connected == plan.nodes + 1).then_some(())
    })?;

    let callers = Callers::start(&house, plan.callers)?;
    thread::sleep(TRAFFIC);
    let nodes_moved = streams(&house, victim).context("no figures of the victim")?;
    house.kill(victim)?;
    let killed = Instant::now();
    wait::until("every node is back", PATIENCE, || {
        (streams(&house, survivor)? == plan.nodes + 1).then_some(())
    })?;
    let attached_after = killed.elapsed();
    thread::sleep(TRAFFIC);
    let calls = callers.stop()?;

    let mut expected = calls.live.clone();
    expected.insert(session.id.clone());
    let live = calls.listed(&house.replica(survivor), &session.id)?;
    let held = settled(&house, &nodes, &expected);
    ensure!(
        publisher.is_running()?,
        "the publisher left: {}",
        publisher.log()
    );
    publisher.kill()?;
    media::settle(&received)?;
    let stop = serde_json::json!({"session_id": session.id});
    let api = house.replica(survivor);
    api.post("/api/v1/relay/stop", &stop)?.success()?;
    player.wait(Duration::from_secs(10))?;
    let stream = drill::check_stream(&sent, &received, clip).map_err(|error| format!("{error:#}"));
    Ok(Finding {
        nodes: plan.nodes + 1,
        nodes_moved,
        attached_after,
        started: calls.started,
        repeated: calls.repeated,
        live: expected.len(),
        lost: expected.difference(&live).count(),
        surplus: live.difference(&expected).count(),
        held,
        stream,
    })
}

/// The replica that the only node so far has its stream on comes first.
fn victim(house: &House) -> anyhow::Result<[Service; 2]> {
    let [one, two] = REPLICAS;
    wait::until("the node has a stream", PATIENCE, || {
        match (streams(house, one)?, streams(house, two)?) {
            (1, 0) => Some([one, two]),
            (0, 1) => Some([two, one]),
            _ => None,
        }
    })
}

/// Nodes with their stream on this replica.
fn streams(house: &House, replica: Service) -> Option<u32> {
    let streams = house.metrics(replica).ok()?.sum(STREAMS);
    Some(streams as u32)
}

/// Waits until nodes hold what they should, and says how many sessions they hold: one
/// that two nodes hold is counted twice.
fn settled(house: &House, nodes: &Nodes, expected: &BTreeSet<String>) -> usize {
    let held = || {
        let simulated = nodes.tally.held();
        let strangers = simulated.iter().filter(|id| !expected.contains(*id));
        let real = house.metrics(Service::RelayNode).ok()?;
        let real = real.sum("streamhaul_relay_sessions_held") as usize;
        Some((strangers.count(), simulated.len() + real))
    };
    let are_right = || held().filter(|held| *held == (0, expected.len()));
    let settled = wait::until("nodes hold their sessions", PATIENCE, are_right);
    settled.ok().or_else(held).map_or(0, |(_, held)| held)
}
