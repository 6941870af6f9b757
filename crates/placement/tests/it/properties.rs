//! What holds for any fleet.

use model::UnixMillis;
use model::node::{Node, NodeState};
use proptest::prelude::*;
use streamhaul_placement::choose;

use crate::choice::{node, wants};

const NOW: UnixMillis = UnixMillis(1_000_000);

fn any_node(id: u128) -> impl Strategy<Value = Node> {
    let state = prop::sample::select(NodeState::ALL);
    let heard_ms_ago = prop::option::of(0_i64..30_000);
    (
        state,
        heard_ms_ago,
        0_u32..6,
        0_u32..6,
        prop::bool::ANY,
        prop::sample::select(vec!["a", "b"]),
    )
        .prop_map(
            move |(state, heard_ms_ago, sessions, sessions_max, known, region)| {
                let base = node(id, region, sessions, sessions_max);
                Node {
                    state,
                    heartbeat_at: heard_ms_ago.map(|ms| UnixMillis(NOW.0 - ms)),
                    address: base.address.clone().filter(|_| known),
                    ..base
                }
            },
        )
}

fn any_fleet() -> impl Strategy<Value = Vec<Node>> {
    (0_u128..8).prop_flat_map(|count| (0..count).map(any_node).collect::<Vec<_>>())
}

fn usable(node: &Node) -> bool {
    node.state == NodeState::Active
        && node.sessions < node.sessions_max
        && node.address.is_some()
        && node.heartbeat_at.is_some_and(|at| NOW.0 - at.0 <= 15_000)
}

proptest! {
    #[test]
    fn only_a_usable_node_is_chosen_and_one_is_when_there_is(
        nodes in any_fleet(),
        region in prop::option::of(prop::sample::select(vec!["a", "b", "c"])),
    ) {
        let request = wants(region);
        let region = request.region.clone();
        let ranking = choose(&nodes, &request, NOW);
        prop_assert_eq!(ranking.verdicts.len(), nodes.len());
        let usable: Vec<_> = nodes.iter().filter(|node| usable(node)).collect();
        let chosen = ranking.best().map(|best| &best.node_id);
        prop_assert_eq!(chosen.is_some(), !usable.is_empty());
        if let Some(chosen) = chosen {
            let chosen = usable.iter().find(|node| node.id == *chosen);
            prop_assert!(chosen.is_some(), "chose a node that is full, draining or gone");
            let there = region.as_ref().is_some_and(|r| usable.iter().any(|node| node.region == *r));
            if there {
                prop_assert_eq!(chosen.map(|node| &node.region), region.as_ref());
                prop_assert!(!ranking.region_fallback);
            }
        }
    }
}
