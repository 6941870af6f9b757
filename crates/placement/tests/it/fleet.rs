//! Nodes, offers and requests for the other tests.

use std::time::Duration;

use model::node::{Node, NodeAddress, NodeHealth, NodeState};
use model::{NodeId, Region, UnixMillis};
use streamhaul_placement::budget::{Horizon, Quota};
use streamhaul_placement::policy::After;
use streamhaul_placement::window::Anchor;
use streamhaul_placement::{
    Allowance, BandwidthPolicy, Budget, Candidate, Demand, Held, Outlook, Rate, Request,
    Restriction, Weights,
};

pub(crate) const NOW: UnixMillis = UnixMillis(1_000_000);
pub(crate) const TB: u64 = 1_000_000_000_000;

pub(crate) fn node(id: u128, region: &str, sessions: u32, sessions_max: u32) -> Node {
    Node {
        id: NodeId::from_u128(id),
        name: format!("node{id}"),
        region: Region::parse(region).unwrap(),
        state: NodeState::Active,
        health: NodeHealth::Active,
        address: Some(NodeAddress {
            public_host: "localhost".into(),
            udp_port: 5000,
            publish_port: 4001,
            play_port: 4000,
        }),
        version: None,
        sessions_max,
        sessions,
        heartbeat_at: Some(NOW),
    }
}

pub(crate) fn wants(region: Option<&str>) -> Request {
    Request {
        region: region.map(|region| Region::parse(region).unwrap()),
        silent_max: Duration::from_secs(15),
        demand: Demand::default(),
        weights: Weights::default(),
        probation_sessions_max: 2,
    }
}

/// A month of `limit` bytes, then a port that carries nothing.
pub(crate) fn monthly(limit_bytes: u64) -> BandwidthPolicy {
    BandwidthPolicy {
        allowance: Allowance::MonthlyCap {
            limit_bytes,
            anchor: Anchor::default(),
        },
        after: After::Floor {
            floor_bps: 1_000_000,
        },
        ..BandwidthPolicy::unmetered(1_000_000_000)
    }
}

/// A month that ends in ten days, with `used` and nothing forecast.
pub(crate) fn budget(policy: BandwidthPolicy, used_bytes: u64) -> Budget {
    let limit_bytes = policy.limit_bytes().unwrap_or(u64::MAX);
    let until = NOW.plus(Duration::from_secs(10 * 86_400));
    let horizon = Horizon {
        until,
        used_bytes,
        forecast_bytes: 0,
    };
    Budget {
        outlook: Outlook {
            quota: Quota::Bytes {
                limit_bytes: (limit_bytes as f64 * policy.usable_ratio()) as u64,
                horizons: vec![horizon],
            },
            restriction: Restriction::Open,
            free_bytes: 0,
            used_bytes: 0,
            measured: Rate::default(),
        },
        policy,
        held: Held::default(),
    }
}

pub(crate) fn candidate(node: Node, budget: Budget) -> Candidate {
    Candidate {
        budget: Some(budget),
        ..node.into()
    }
}
