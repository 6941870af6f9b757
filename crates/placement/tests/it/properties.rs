//! What holds for any fleet.

use model::UnixMillis;
use model::node::{Node, NodeState};
use proptest::prelude::*;
use streamhaul_placement::counter::{Meter, Reading};
use streamhaul_placement::{Candidate, Held, Hold, choose};

use crate::fleet::{NOW, TB, budget, candidate, monthly, node, wants};

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
    use NodeState::{Active, Degraded, Probation, Throttled};
    matches!(node.state, Active | Degraded | Probation | Throttled)
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
        let candidates: Vec<Candidate> = nodes.iter().cloned().map(Into::into).collect();
        let ranking = choose(&candidates, &request, NOW);
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

    #[test]
    fn fewer_bytes_left_never_rank_better(
        used in 0_u64..9 * TB,
        more in 0_u64..2 * TB,
        forecast in 0_u64..12 * TB,
        other_used in 0_u64..9 * TB,
    ) {
        let fleet = |used: u64| {
            let mut mine = budget(monthly(10 * TB), used);
            if let streamhaul_placement::Quota::Bytes { horizons, .. } = &mut mine.outlook.quota {
                horizons[0].forecast_bytes = forecast;
            }
            let other = budget(monthly(10 * TB), other_used);
            [candidate(node(1, "a", 0, 10), mine), candidate(node(2, "a", 0, 10), other)]
        };
        let place = |used: u64| {
            let fleet = fleet(used);
            let ranking = choose(&fleet, &wants(None), NOW);
            let place = ranking.verdicts.iter().position(|it| it.node_id == fleet[0].node.id);
            let cost = place.and_then(|place| ranking.verdicts[place].outcome.ok());
            (place, cost.map_or(f64::INFINITY, |cost| cost.total()))
        };
        let (before, cheaper) = place(used);
        let (after, dearer) = place(used + more);
        prop_assert!(before <= after);
        prop_assert!(cheaper <= dearer);
    }

    #[test]
    fn what_is_held_never_exceeds_the_budget(
        limit in TB / 10..10 * TB,
        used_permille in 0_u64..1000,
        wishes in prop::collection::vec((1_u64..40_000_000, 60_u64..200_000), 0..300),
    ) {
        let used = limit / 1000 * used_permille;
        let mut budget = budget(monthly(limit), used);
        let usable = (limit as f64 * budget.policy.usable_ratio()) as u64;
        for (bps, seconds) in wishes {
            let held = budget.held;
            let wish = Held { bytes: bps / 8 * seconds, counted_bps: bps, port_bps: bps / 2 };
            if budget.reserve(wish, NOW).is_err() {
                prop_assert_eq!(held, budget.held);
            }
        }
        let within = used + budget.held.bytes_until(NOW, UnixMillis(NOW.0 + 10 * 86_400_000)) <= usable;
        // The floor of 1 Mbit/s is the one thing that needs no allowance.
        prop_assert!(within || budget.held.port_bps as f64 <= budget.policy.floor_usable_bps());
        prop_assert!(budget.held.port_bps as f64 <= budget.policy.port_usable_bps());
    }

    #[test]
    fn readings_in_any_order_settle_each_byte_once_at_most(
        steps in prop::collection::vec((0_u8..3, 0_u64..1_000_000, 0_u8..4), 1..50),
    ) {
        let mut meter = Meter::default();
        meter.advance(&Reading { boot_id: "0".into(), ingress_bytes: 0, egress_bytes: 0 });
        let (mut boot, mut counter, mut real, mut counted) = (0_u32, 0_u64, 0_u64, 0_u64);
        let mut ended = None;
        for (kind, bytes, late) in steps {
            if kind == 0 {
                ended = Some((boot, counter));
                boot += 1;
                counter = 0;
            }
            let stale = counter;
            counter += bytes;
            real += bytes;
            let mut read = |boot: u32, value: u64| {
                let reading = Reading { boot_id: boot.to_string(), ingress_bytes: value, egress_bytes: 0 };
                counted += meter.advance(&reading).ingress_bytes;
            };
            read(boot, counter);
            if late & 1 != 0 {
                read(boot, stale);
            }
            // A word of the process that is gone comes after one of the process that runs.
            if let Some((before, value)) = ended.filter(|_| late & 2 != 0) {
                read(before, value);
            }
        }
        prop_assert_eq!(counted, real);
    }

    #[test]
    fn a_hold_shrinks_to_its_tail_and_no_further(
        bytes in 0_u64..TB,
        bps in 0_u64..100_000_000,
        settled in prop::collection::vec(0_u64..TB, 0..20),
    ) {
        let mut hold = Hold::new(Held { bytes, counted_bps: bps, port_bps: bps });
        let mut before = hold.outstanding().bytes;
        for bytes in settled {
            hold.settle(bytes);
            let after = hold.outstanding().bytes;
            prop_assert!(after <= before);
            prop_assert!(after >= bps / 8 * 3600);
            before = after;
        }
    }

    #[test]
    fn the_same_input_gives_the_same_ranking(
        nodes in any_fleet(),
        used in prop::collection::vec(0_u64..12 * TB, 8),
    ) {
        let fleet: Vec<Candidate> = nodes
            .into_iter()
            .zip(used)
            .map(|(node, used)| candidate(node, budget(monthly(10 * TB), used)))
            .collect();
        let mut turned = fleet.clone();
        turned.reverse();
        prop_assert_eq!(
            choose(&fleet, &wants(Some("a")), NOW),
            choose(&turned, &wants(Some("a")), NOW)
        );
    }
}
