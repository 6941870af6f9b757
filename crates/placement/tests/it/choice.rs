//! Which node wins, and what the others are told.

use model::node::{Node, NodeHealth, NodeState};
use model::{NodeId, UnixMillis};
use streamhaul_placement::budget::Quota;
use streamhaul_placement::policy::After;
use streamhaul_placement::window::Anchor;
use streamhaul_placement::{
    Allowance, BandwidthPolicy, Budget, Candidate, Held, Outlook, Rate, Refusal, Restriction,
    choose, explain,
};

use crate::fleet::{NOW, TB, budget, candidate, monthly, node, wants};

#[test]
fn the_least_loaded_node_by_share_wins() {
    let nodes = [
        node(1, "a", 4, 5),
        node(2, "a", 10, 100),
        node(3, "a", 1, 2),
    ];
    let ranking = choose(&nodes.map(Into::into), &wants(None), NOW);
    assert_eq!(ranking.best().unwrap().node_id, NodeId::from_u128(2));
    assert!(!ranking.region_fallback);
}

#[test]
fn the_wanted_region_comes_before_load_and_falling_back_is_said() {
    let near = node(1, "near", 9, 10);
    let far = node(2, "far", 0, 10);
    let ranking = choose(
        &[far.clone().into(), near.clone().into()],
        &wants(Some("near")),
        NOW,
    );
    assert_eq!(ranking.best().unwrap().node_id, near.id);
    assert!(!ranking.region_fallback);

    let full = Node {
        sessions: 10,
        ..near
    };
    let ranking = choose(
        &[far.clone().into(), full.into()],
        &wants(Some("near")),
        NOW,
    );
    assert_eq!(ranking.best().unwrap().node_id, far.id);
    assert!(ranking.region_fallback);
}

#[test]
fn a_strained_node_comes_last_and_one_on_probation_after_its_peers() {
    let with = |id, region, health| Node {
        health,
        ..node(id, region, 0, 10)
    };
    let strained = with(1, "near", NodeHealth::Degraded);
    let fresh = with(2, "near", NodeHealth::Probation);
    let well = with(3, "near", NodeHealth::Active);
    let far = with(4, "far", NodeHealth::Active);
    let candidates = [strained, fresh, well, far].map(Into::into);
    let ranking = choose(&candidates, &wants(Some("near")), NOW);
    let order = ranking.verdicts.iter().map(|it| it.node_id.clone());
    assert!(order.eq([3, 2, 4, 1].map(NodeId::from_u128)));
    let last = explain(&ranking, 4).pop().unwrap();
    assert!(last.terms.unwrap().health > 5.0);
}

#[test]
fn ties_fall_to_the_smaller_id() {
    let nodes = [node(2, "a", 0, 10), node(1, "a", 0, 10)];
    let ranking = choose(&nodes.map(Into::into), &wants(None), NOW);
    assert_eq!(ranking.best().unwrap().node_id, NodeId::from_u128(1));
}

#[test]
fn every_refused_candidate_is_told_why() {
    let base = node(1, "a", 0, 10);
    let in_state = |state| Node {
        state,
        ..base.clone()
    };
    let cases = [
        (in_state(NodeState::New), Refusal::NeverConnected),
        (in_state(NodeState::Draining), Refusal::Draining),
        (in_state(NodeState::Drained), Refusal::Draining),
        (in_state(NodeState::Offline), Refusal::Offline),
        (in_state(NodeState::Quarantined), Refusal::Quarantined),
        (in_state(NodeState::Banned), Refusal::Banned),
        (in_state(NodeState::Exhausted), Refusal::Exhausted),
        (
            Node {
                health: NodeHealth::Probation,
                sessions: 2,
                ..base.clone()
            },
            Refusal::Probation,
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
                ..base.clone()
            },
            Refusal::Full,
        ),
    ];
    for (node, refusal) in cases {
        let ranking = choose(&[node.into()], &wants(None), NOW);
        assert!(ranking.best().is_none());
        assert_eq!(
            ranking.verdicts[0].outcome,
            Err(refusal),
            "{}",
            refusal.as_str()
        );
    }
}

#[test]
fn a_node_that_is_farther_costs_more_but_not_without_end() {
    let near = Candidate {
        rtt_ms: Some(20.0),
        ..node(1, "a", 0, 10).into()
    };
    let far = Candidate {
        rtt_ms: Some(140.0),
        ..node(2, "a", 0, 10).into()
    };
    let fleet = [far.clone(), near.clone()];
    assert_eq!(
        choose(&fleet, &wants(None), NOW).best().unwrap().node_id,
        near.node.id
    );
    let scarce = Candidate {
        budget: Some(budget(monthly(10 * TB), 9 * TB)),
        ..near
    };
    let ranking = choose(&[far.clone(), scarce], &wants(None), NOW);
    assert_eq!(ranking.best().unwrap().node_id, far.node.id);
}

#[test]
fn sold_bytes_are_the_last_resort_of_those_who_asked_for_no_region() {
    let metered = BandwidthPolicy {
        allowance: Allowance::Metered {
            free_bytes: 0,
            price_per_tb: 87.0,
            budget_bytes: None,
            anchor: Anchor::default(),
        },
        ..BandwidthPolicy::unmetered(1_000_000_000)
    };
    let sold = Budget {
        outlook: Outlook {
            quota: Quota::Unlimited,
            restriction: Restriction::Open,
            free_bytes: 0,
            used_bytes: 0,
            measured: Rate::default(),
        },
        held: Held::default(),
        policy: metered,
    };
    let fleet = [
        candidate(node(1, "a", 0, 10), sold),
        candidate(node(2, "b", 0, 10), budget(monthly(10 * TB), 5 * TB)),
    ];
    let ranking = choose(&fleet, &wants(None), NOW);
    assert_eq!(ranking.best().unwrap().node_id, NodeId::from_u128(2));
    let explained = explain(&ranking, 10);
    let terms = explained[1].terms.unwrap();
    assert!((terms.money - 87.0 * 0.0234).abs() < 0.01, "{terms:?}");
    assert_eq!(explained[1].cost.unwrap(), terms.total());
    // Who asked for a region gets it: that is worth more than a few bytes.
    let ranking = choose(&fleet, &wants(Some("a")), NOW);
    assert_eq!(ranking.best().unwrap().node_id, NodeId::from_u128(1));
}

#[test]
fn what_a_budget_lacks_is_said() {
    let open = budget(monthly(10 * TB), 5 * TB);
    let spent = budget(monthly(10 * TB), 95 * TB / 10);
    let busy = Budget {
        held: Held {
            port_bps: 695_000_000,
            ..Held::default()
        },
        ..open.clone()
    };
    let restricted = |restriction| Budget {
        outlook: Outlook {
            restriction,
            ..open.outlook.clone()
        },
        ..open.clone()
    };
    let cases = [
        (spent, Refusal::BudgetSpent),
        (busy, Refusal::PortFull),
        (restricted(Restriction::Throttled), Refusal::Throttled),
        (restricted(Restriction::Exhausted), Refusal::Exhausted),
    ];
    for (budget, refusal) in cases {
        let ranking = choose(&[candidate(node(1, "a", 0, 10), budget)], &wants(None), NOW);
        assert_eq!(ranking.verdicts[0].outcome, Err(refusal));
        assert_eq!(explain(&ranking, 1)[0].refusal, Some(refusal.as_str()));
    }
}

#[test]
fn a_floor_that_carries_streams_is_used_when_the_allowance_is_spent() {
    let policy = BandwidthPolicy {
        after: After::Floor {
            floor_bps: 200_000_000,
        },
        ..monthly(2 * TB)
    };
    let spent = Budget {
        outlook: Outlook {
            restriction: Restriction::Throttled,
            ..budget(policy.clone(), 2 * TB).outlook
        },
        ..budget(policy, 2 * TB)
    };
    let full = Budget {
        held: Held {
            port_bps: 158_000_000,
            ..Held::default()
        },
        ..spent.clone()
    };
    let outcome = |budget| {
        let fleet = [candidate(node(1, "a", 0, 10), budget)];
        choose(&fleet, &wants(None), NOW).verdicts[0].outcome
    };
    assert_eq!(outcome(spent).unwrap().budget, 0.0);
    assert_eq!(outcome(full), Err(Refusal::Throttled));
}
