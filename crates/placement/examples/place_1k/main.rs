//! How long a placement decision takes against 1 000 nodes, every kind of offer among
//! them. `--json` prints `placement1k_p99_ms` for the bench of the control plane.
#![allow(clippy::print_stdout, reason = "its output is the result")]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock measures, it decides nothing"
)]

use std::time::{Duration, Instant};

use model::node::{Node, NodeAddress, NodeState};
use model::{NodeId, Region, UnixMillis};
use streamhaul_placement::counter::Reading;
use streamhaul_placement::policy::{After, Confidence};
use streamhaul_placement::window::Anchor;
use streamhaul_placement::{
    Account, Allowance, BandwidthPolicy, Budget, Candidate, Demand, Held, Request, Weights, choose,
};

const NODES: u32 = 1000;
const DECISIONS: usize = 20_000;
const WARM_UP: usize = 1000;
/// 2026-04-11T00:00:00Z
const NOW: UnixMillis = UnixMillis(1_775_865_600_000);
const TB: u64 = 1_000_000_000_000;

fn main() {
    let regions: Vec<Region> = ["us", "eu", "asia"]
        .iter()
        .filter_map(|name| Region::parse(name).ok())
        .collect();
    let fleet: Vec<Candidate> = (0..NODES)
        .map(|number| candidate(number, &regions))
        .collect();
    let mut times = Vec::with_capacity(DECISIONS);
    let mut placed = 0_usize;
    for round in 0..DECISIONS + WARM_UP {
        let request = Request {
            region: regions.get(round % (regions.len() + 1)).cloned(),
            silent_max: Duration::from_secs(15),
            demand: Demand::default(),
            weights: Weights::default(),
        };
        let begun = Instant::now();
        let ranking = choose(&fleet, &request, NOW);
        let took = begun.elapsed();
        if round >= WARM_UP {
            placed += usize::from(ranking.best().is_some());
            times.push(took);
        }
    }
    report(&mut times, placed);
}

fn report(times: &mut [Duration], placed: usize) {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index).map_or(0.0, |it| it.as_secs_f64() * 1e3)
    };
    let per_second = times.len() as f64 / total.as_secs_f64();
    if std::env::args().any(|argument| argument == "--json") {
        println!(
            "{{\"nodes\":{NODES},\"decisions\":{},\"placed\":{placed},\
             \"placement1k_p50_ms\":{:.4},\"placement1k_p99_ms\":{:.4},\"decisions_per_s\":{:.0}}}",
            times.len(),
            at(0.5),
            at(0.99),
            per_second
        );
    } else {
        println!(
            "{} decisions against {NODES} nodes, {placed} placed: p50 {:.3} ms, p99 {:.3} ms, \
             {per_second:.0} a second on one core",
            times.len(),
            at(0.5),
            at(0.99)
        );
    }
}

fn candidate(number: u32, regions: &[Region]) -> Candidate {
    let policy = policy(number);
    let mut account = Account::open(NOW.minus(Duration::from_secs(120)));
    for (egress_bytes, seconds_ago) in [(0, 60), (u64::from(number) * TB / 700, 0)] {
        let reading = Reading {
            boot_id: "a".to_owned(),
            ingress_bytes: 0,
            egress_bytes,
        };
        account.settle(
            &policy,
            &reading,
            NOW.minus(Duration::from_secs(seconds_ago)),
        );
    }
    let sessions = number % 90;
    let one = Demand::default().on(&policy);
    let held = (0..sessions).fold(Held::default(), |sum, _| sum.and(one));
    Candidate {
        node: node(number, sessions, &regions[number as usize % regions.len()]),
        rtt_ms: Some(f64::from(number % 190)),
        budget: Some(Budget {
            outlook: account.outlook(&policy, NOW),
            policy,
            held,
        }),
    }
}

fn node(number: u32, sessions: u32, region: &Region) -> Node {
    Node {
        id: NodeId::from_u128(u128::from(number)),
        name: format!("node{number}"),
        region: region.clone(),
        state: NodeState::Active,
        address: Some(NodeAddress {
            public_host: "relay.invalid".to_owned(),
            udp_port: 5000,
            publish_port: 4001,
            play_port: 4000,
        }),
        version: None,
        sessions_max: 100,
        sessions,
        heartbeat_at: Some(NOW),
    }
}

fn policy(number: u32) -> BandwidthPolicy {
    let base = BandwidthPolicy {
        after: After::Floor {
            floor_bps: 200_000_000,
        },
        confidence: if number.is_multiple_of(7) {
            Confidence::Rumour
        } else {
            Confidence::Documented
        },
        ..BandwidthPolicy::unmetered(1_000_000_000)
    };
    let anchor = Anchor::default();
    let allowance = match number % 6 {
        0 => Allowance::MonthlyCap {
            limit_bytes: 32 * TB,
            anchor,
        },
        1 => Allowance::RollingCap {
            limit_bytes: 2 * TB,
            hours: 24,
        },
        2 => Allowance::FairShare {
            bps_per_gib: 25_000_000,
            gib: 4.0,
            burst_hours: 6.0,
        },
        3 => Allowance::Metered {
            free_bytes: TB,
            price_per_tb: 87.0,
            budget_bytes: None,
            anchor,
        },
        4 => Allowance::Percentile95 {
            commit_bps: 100_000_000,
            price_per_mbps: 1.5,
            anchor,
        },
        _ => Allowance::Unmetered {},
    };
    BandwidthPolicy { allowance, ..base }
}
