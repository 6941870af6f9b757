//! Which node wins, and what the others are told.

use std::time::Duration;

use model::node::{Node, NodeAddress, NodeState};
use model::{NodeId, Region, UnixMillis};
use streamhaul_placement::{Refusal, Request, choose};

const NOW: UnixMillis = UnixMillis(1_000_000);

pub(crate) fn node(id: u128, region: &str, sessions: u32, sessions_max: u32) -> Node {
    Node {
        id: NodeId::from_u128(id),
        name: format!("node{id}"),
        region: Region::parse(region).unwrap(),
        state: NodeState::Active,
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
    }
}

#[test]
fn the_least_loaded_node_by_share_wins() {
    let nodes = [
        node(1, "a", 4, 5),
        node(2, "a", 10, 100),
        node(3, "a", 1, 2),
    ];
    let ranking = choose(&nodes, &wants(None), NOW);
    assert_eq!(ranking.best().unwrap().node_id, NodeId::from_u128(2));
    assert!(!ranking.region_fallback);
}

#[test]
fn the_wanted_region_comes_before_load_and_falling_back_is_said() {
    let near = node(1, "near", 9, 10);
    let far = node(2, "far", 0, 10);
    let ranking = choose(&[far.clone(), near.clone()], &wants(Some("near")), NOW);
    assert_eq!(ranking.best().unwrap().node_id, near.id);
    assert!(!ranking.region_fallback);

    let full = Node {
        sessions: 10,
        ..near
    };
    let ranking = choose(&[far.clone(), full], &wants(Some("near")), NOW);
    assert_eq!(ranking.best().unwrap().node_id, far.id);
    assert!(ranking.region_fallback);
}

#[test]
fn ties_fall_to_the_smaller_id() {
    let nodes = [node(2, "a", 0, 10), node(1, "a", 0, 10)];
    let ranking = choose(&nodes, &wants(None), NOW);
    assert_eq!(ranking.best().unwrap().node_id, NodeId::from_u128(1));
}

#[test]
fn every_refused_candidate_is_told_why() {
    let base = node(1, "a", 0, 10);
    let cases = [
        (
            Node {
                state: NodeState::New,
                ..base.clone()
            },
            Refusal::NeverConnected,
        ),
        (
            Node {
                state: NodeState::Draining,
                ..base.clone()
            },
            Refusal::Draining,
        ),
        (
            Node {
                state: NodeState::Offline,
                ..base.clone()
            },
            Refusal::Offline,
        ),
        (
            Node {
                heartbeat_at: Some(UnixMillis(NOW.0 - 15_001)),
                ..base.clone()
            },
            Refusal::Offline,
        ),
        (
            Node {
                address: None,
                ..base.clone()
            },
            Refusal::NoAddress,
        ),
        (
            Node {
                sessions: 10,
                ..base
            },
            Refusal::Full,
        ),
    ];
    for (node, refusal) in cases {
        let ranking = choose(&[node], &wants(None), NOW);
        assert!(ranking.best().is_none());
        assert_eq!(
            ranking.verdicts[0].outcome,
            Err(refusal),
            "{}",
            refusal.as_str()
        );
    }
}
