//! Who is moved before a cap bites.

use std::time::Duration;

use model::{NodeId, SessionId, UnixMillis};
use streamhaul_placement::{
    Candidate, Demand, Movable, MovePolicy, Outlook, Restriction, plan_moves,
};

use crate::fleet::{NOW, TB, budget, candidate, monthly, node, wants};

/// The bytes of a month that may be used.
const USABLE: u64 = 9_500_000_000_000;

fn session(number: u128, on: u128, started_ms_ago: i64) -> Movable {
    let demand = Demand::default();
    Movable {
        session_id: SessionId::from_u128(number),
        node_id: NodeId::from_u128(on),
        held: demand.on(&monthly(10 * TB)),
        demand,
        region: None,
        started_at: UnixMillis(NOW.0 - started_ms_ago),
        moved_at: None,
    }
}

/// Node 1 has `left` bytes and ten sessions, node 2 has plenty.
fn fleet(left: u64) -> (Vec<Candidate>, Vec<Movable>) {
    let sessions: Vec<_> = (0..10)
        .map(|number| session(number, 1, number as i64 * 1000))
        .collect();
    let mut pressed = budget(monthly(10 * TB), USABLE - left);
    for session in &sessions {
        pressed.held = pressed.held.and(session.held);
    }
    let candidates = vec![
        candidate(node(1, "a", 10, 100), pressed),
        candidate(node(2, "a", 0, 100), budget(monthly(10 * TB), TB)),
    ];
    (candidates, sessions)
}

fn plan(candidates: &[Candidate], sessions: &[Movable]) -> Vec<SessionId> {
    let moves = plan_moves(
        candidates,
        sessions,
        &wants(None),
        &MovePolicy::default(),
        NOW,
    );
    assert!(moves.iter().all(|it| it.to == NodeId::from_u128(2)));
    moves.into_iter().map(|it| it.session_id).collect()
}

/// What ten sessions take in twenty minutes.
fn lead_bytes() -> u64 {
    let held = session(0, 1, 0).held;
    10 * held.bytes_until(NOW, NOW.plus(Duration::from_secs(1200)))
}

#[test]
fn nobody_is_moved_while_the_cap_is_far() {
    let (candidates, sessions) = fleet(lead_bytes() + 1000);
    assert!(plan(&candidates, &sessions).is_empty());
}

#[test]
fn just_enough_are_moved_and_the_newest_of_them() {
    let (candidates, sessions) = fleet(lead_bytes() * 75 / 100);
    let newest: Vec<_> = (0..3).map(SessionId::from_u128).collect();
    assert_eq!(plan(&candidates, &sessions), newest);
}

#[test]
fn a_session_that_was_just_moved_rests_unless_its_node_is_cut_off() {
    let (mut candidates, mut sessions) = fleet(lead_bytes() * 95 / 100);
    sessions[0].moved_at = Some(UnixMillis(NOW.0 - 60_000));
    assert_eq!(
        plan(&candidates, &sessions),
        [sessions[1].session_id.clone()]
    );
    let cut = candidates[0].budget.as_mut().unwrap();
    cut.outlook = Outlook {
        restriction: Restriction::Exhausted,
        ..cut.outlook.clone()
    };
    assert_eq!(plan(&candidates, &sessions).len(), 10);
}

#[test]
fn nobody_is_moved_where_there_is_no_room() {
    let (mut candidates, sessions) = fleet(0);
    candidates[1].budget = Some(budget(monthly(10 * TB), USABLE));
    assert!(plan(&candidates, &sessions).is_empty());
}

#[test]
fn a_month_that_ends_sooner_forgives() {
    let (mut candidates, sessions) = fleet(lead_bytes() / 2);
    let pressed = candidates[0].budget.as_mut().unwrap();
    if let streamhaul_placement::Quota::Bytes { horizons, .. } = &mut pressed.outlook.quota {
        horizons[0].until = NOW.plus(Duration::from_secs(300));
    }
    assert!(plan(&candidates, &sessions).is_empty());
}
