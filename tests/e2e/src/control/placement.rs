//! Placement decisions by themselves: no database, no network.

use std::time::{Duration, Instant};

use model::node::{Node, NodeAddress, NodeHealth, NodeState};
use model::{NodeId, Region, UnixMillis};
use placement::counter::Reading;
use placement::policy::{After, Confidence};
use placement::window::Anchor;
use placement::{
    Account, Allowance, BandwidthPolicy, Budget, Candidate, Demand, Held, Request, Weights, choose,
};

use super::{progress, quantile};

/// Decisions that are asked for in a second.
const RATE: u32 = 2000;
const DECISIONS: u32 = 10_000;
const WARM_UP: u32 = 200;
/// 2026-04-11T00:00:00Z
const NOW: UnixMillis = UnixMillis(1_775_865_600_000);
const TB: u64 = 1_000_000_000_000;

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// The time of a decision: half of them, in milliseconds.
    pub(super) p50_ms: f64,
    /// All but a hundredth.
    pub(super) p99_ms: f64,
    /// The same, from when it was due: one that waits for an earlier one has that time, too.
    pub(super) from_due_p99_ms: f64,
    /// How many one core could make in a second.
    pub(super) per_s: f64,
}

/// Decides 2 000 times a second among so many nodes, every kind of offer among them.
pub(super) fn measure(nodes: u32) -> Figures {
    progress(&format!("placing on {nodes} nodes"));
    let regions: Vec<Region> = ["us", "eu", "asia"]
        .iter()
        .filter_map(|name| Region::parse(name).ok())
        .collect();
    let fleet: Vec<Candidate> = (0..nodes)
        .map(|number| candidate(number, &regions))
        .collect();
    let request = |round: u32| Request {
        region: regions.get(round as usize % (regions.len() + 1)).cloned(),
        silent_max: Duration::from_secs(15),
        demand: Demand::default(),
        weights: Weights::default(),
        probation_sessions_max: 2,
    };
    for round in 0..WARM_UP {
        std::hint::black_box(choose(&fleet, &request(round), NOW));
    }
    let begun = Instant::now();
    let (mut took, mut from_due) = (Vec::new(), Vec::new());
    for round in 0..DECISIONS {
        let due = begun + Duration::from_secs(1) / RATE * round;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = request(round);
        let started = Instant::now();
        std::hint::black_box(choose(&fleet, &request, NOW));
        took.push(started.elapsed());
        from_due.push(due.elapsed());
    }
    figures(took, from_due)
}

fn figures(mut took: Vec<Duration>, mut from_due: Vec<Duration>) -> Figures {
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    from_due.sort_unstable();
    let ms = |sorted: &[Duration], share| quantile(sorted, share).as_secs_f64() * 1e3;
    Figures {
        p50_ms: ms(&took, 0.5),
        p99_ms: ms(&took, 0.99),
        from_due_p99_ms: ms(&from_due, 0.99),
        per_s: took.len() as f64 / total.as_secs_f64(),
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
        health: NodeHealth::Active,
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
