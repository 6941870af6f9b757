//! What nodes are to the control plane, for any evidence.

use std::collections::BTreeSet;
use std::time::Duration;

use model::UnixMillis;
use model::node::{NodeHealth, NodeIntent, NodeState};
use proptest::prelude::*;
use streamhaul_placement::Restriction;
use streamhaul_placement::standing::Facts;
use streamhaul_placement::vitals::{
    Evidence, LOOKS, SILENT_LOOKS_MAX, STRAINED_MAX, STRAINED_WELL, Signs, Vitals,
};

const PROBATION: Duration = Duration::from_secs(60);

fn any_signs() -> impl Strategy<Value = Signs> {
    (0.0..1.0_f64, 0_u32..4, any::<bool>()).prop_map(|(load_ratio, missed, refused_directive)| {
        Signs {
            load_ratio,
            missed,
            refused_directive,
        }
    })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        1 => Just(Evidence::Connected),
        6 => any_signs().prop_map(Evidence::Heartbeat),
        6 => Just(Evidence::Heartbeat(Signs::default())),
        1 => Just(Evidence::Silent),
    ]
}

/// Evidence, and the seconds since what came before.
fn any_history() -> impl Strategy<Value = Vec<(Evidence, i64)>> {
    prop::collection::vec((any_evidence(), 0_i64..20), 0..200)
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (
        prop::sample::select(NodeHealth::ALL),
        prop::sample::select(NodeIntent::ALL),
        prop::sample::select(vec![
            Restriction::Open,
            Restriction::Throttled,
            Restriction::Exhausted,
        ]),
        0_u32..3,
    )
        .prop_map(|(health, intent, restriction, sessions)| Facts {
            health,
            intent,
            restriction,
            sessions,
        })
}

/// Whether `to` may follow `from` when nobody but the node does anything: the table of
/// docs/operations/nodes.md.
fn may_follow(from: NodeHealth, to: NodeHealth) -> bool {
    use NodeHealth::{Active, Degraded, New, Offline, Probation};
    matches!(
        (from, to),
        (New, Probation | Active)
            | (Probation, Active | Degraded | Offline)
            | (Active, Degraded | Offline)
            | (Degraded, Active | Offline)
            | (Offline, Probation | Active | Degraded)
    )
}

proptest! {
    #[test]
    fn health_moves_only_as_documented_and_each_evidence_moves_it_once(history in any_history()) {
        let (mut vitals, mut now) = (Vitals::default(), 0);
        for (evidence, seconds) in history {
            let before = vitals.health();
            now += seconds * 1000;
            vitals.take(evidence, PROBATION, UnixMillis(now));
            let after = vitals.health();
            prop_assert!(before == after || may_follow(before, after), "{before} to {after}");
        }
    }

    /// To degrade and recover, strained looks have to come and to be forgotten.
    #[test]
    fn a_trusted_node_never_flaps(history in prop::collection::vec(any_signs(), 0..400)) {
        let mut vitals = Vitals::of(NodeHealth::Active);
        let between = STRAINED_MAX - STRAINED_WELL;
        let mut looks_since = between;
        for signs in history {
            let before = vitals.health();
            vitals.take(Evidence::Heartbeat(signs), PROBATION, UnixMillis(0));
            looks_since += 1 + signs.missed.min(SILENT_LOOKS_MAX);
            if vitals.health() != before {
                prop_assert!(looks_since >= between, "changed again after {looks_since} looks");
                looks_since = 0;
            }
        }
    }

    #[test]
    fn whatever_happened_a_node_that_stays_well_ends_up_active(history in any_history()) {
        let mut vitals = Vitals::default();
        for (evidence, _) in history {
            vitals.take(evidence, PROBATION, UnixMillis(0));
        }
        vitals.take(Evidence::Connected, PROBATION, UnixMillis(0));
        for look in 0..=i64::from(LOOKS) {
            let well = Evidence::Heartbeat(Signs::default());
            vitals.take(well, PROBATION, UnixMillis(look * 5000));
        }
        prop_assert_eq!(vitals.health(), NodeHealth::Active);
    }

    #[test]
    fn vitals_survive_being_stored(history in any_history()) {
        let mut vitals = Vitals::default();
        for (evidence, seconds) in history {
            vitals.take(evidence, PROBATION, UnixMillis(seconds));
        }
        let stored = serde_json::to_value(&vitals).unwrap();
        prop_assert_eq!(serde_json::from_value::<Vitals>(stored).unwrap(), vitals);
    }

    /// What is observed decides only where the operator wants nothing.
    #[test]
    fn no_evidence_undoes_the_operators_word(facts in any_facts(), health in prop::sample::select(NodeHealth::ALL)) {
        let state = facts.state();
        let observed = Facts { health, ..facts }.state();
        match facts.intent {
            NodeIntent::Banned => prop_assert_eq!([state, observed], [NodeState::Banned; 2]),
            NodeIntent::Quarantined => {
                prop_assert_eq!([state, observed], [NodeState::Quarantined; 2]);
            }
            NodeIntent::Draining => {
                let takes_none = |state| matches!(
                    state,
                    NodeState::New | NodeState::Offline | NodeState::Draining | NodeState::Drained
                );
                prop_assert!(takes_none(state) && takes_none(observed));
            }
            NodeIntent::None => {}
        }
    }
}

/// Every combination there is.
fn all_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for health in NodeHealth::ALL {
        for intent in NodeIntent::ALL {
            for restriction in [
                Restriction::Open,
                Restriction::Throttled,
                Restriction::Exhausted,
            ] {
                for sessions in [0, 1] {
                    all.push(Facts {
                        health: *health,
                        intent: *intent,
                        restriction,
                        sessions,
                    });
                }
            }
        }
    }
    all
}

#[test]
fn each_state_is_reached_and_left() {
    let reached: BTreeSet<NodeState> = all_facts().iter().map(Facts::state).collect();
    assert_eq!(reached, NodeState::ALL.iter().copied().collect());
    // One change of one fact leads out of each.
    for from in all_facts() {
        let leaves = all_facts()
            .into_iter()
            .any(|to| differ_in_one(&from, &to) && from.state() != to.state());
        assert!(leaves, "{from:?}");
    }
}

fn differ_in_one(a: &Facts, b: &Facts) -> bool {
    let differences = [
        a.health != b.health,
        a.intent != b.intent,
        a.restriction != b.restriction,
        a.sessions != b.sessions,
    ];
    differences.iter().filter(|differs| **differs).count() == 1
}

#[test]
fn a_reason_says_who_decided() {
    let facts = Facts {
        health: NodeHealth::Active,
        intent: NodeIntent::None,
        restriction: Restriction::Open,
        sessions: 0,
    };
    let reason = |facts: Facts| facts.reason("well");
    assert_eq!(reason(facts), "well");
    let draining = Facts {
        intent: NodeIntent::Draining,
        ..facts
    };
    assert_eq!(reason(draining), "no_sessions");
    assert_eq!(
        reason(Facts {
            sessions: 1,
            ..draining
        }),
        "operator"
    );
    let throttled = Facts {
        restriction: Restriction::Throttled,
        ..facts
    };
    assert_eq!(reason(throttled), "byte_budget");
}
