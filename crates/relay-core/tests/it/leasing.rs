//! What revocation, expiry and resynchronisation do to live connections.

use lease::{KeySet, SigningKey};
use model::session::Role;
use streamhaul_relay_core::{Command, Event, GoneReason, RefusalReason};

use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{
    WALL_START, assignment, assignment_for, claims, grant, key_set, live, play, session_id, sign,
    signing_key,
};
use crate::world::World;

fn streaming(
    publisher: impl Into<String>,
    player: impl Into<String>,
    world: &mut World,
) -> [usize; 2] {
    let publisher = world.publisher(Spec::new(1, publisher), 0, &delayed(1));
    world.run_ms(200);
    let player = world.player(Spec::new(2, player), &delayed(1));
    world.run_ms(200);
    assert!(matches!(world.state(player), State::Connected { .. }));
    [publisher, player]
}

fn reasons(world: &World) -> Vec<GoneReason> {
    let reason = |event: &Event| match event {
        Event::PublisherGone { reason, .. } | Event::PlayerGone { reason, .. } => Some(*reason),
        _ => None,
    };
    world.events.iter().filter_map(reason).collect()
}

fn assert_all_cut(world: &mut World, peers: [usize; 2], reason: GoneReason) {
    world.run_ms(10);
    for peer in peers {
        assert_eq!(world.state(peer), State::Closed);
    }
    assert_eq!(reasons(world), [reason, reason]);
    assert!(world.relay.is_idle());
}

#[test]
fn revocation_cuts_the_live_session() {
    let mut world = World::with_session();
    let peers = streaming(live(1), play(1), &mut world);
    world.command(Command::Revoke {
        session: session_id(1),
        reason: "requested".into(),
    });
    assert_all_cut(&mut world, peers, GoneReason::Revoked);
    assert!(world.relay.held().is_empty());
    let late = world.publisher(Spec::new(3, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(late), State::Refused(_)));
}

#[test]
fn a_revoked_sessions_own_lease_is_worth_nothing() {
    let mut world = World::new();
    let token = |role| sign(&claims(1, 1, role, 1000));
    let peers = streaming(token(Role::Publish), token(Role::Play), &mut world);
    world.command(Command::Revoke {
        session: session_id(1),
        reason: "requested".into(),
    });
    assert_all_cut(&mut world, peers, GoneReason::Revoked);
    let _ = world.publisher(Spec::new(3, token(Role::Publish)), 0, &delayed(1));
    world.run_ms(100);
    assert_eq!(world.relay.counters().refusals(RefusalReason::Revoked), 1);
}

#[test]
fn expiry_cuts_the_live_session_and_is_the_reason_from_then_on() {
    let mut world = World::new();
    world.assign(assignment_for(1, 1, 60));
    let peers = streaming(live(1), play(1), &mut world);
    world.run_ms(89_000);
    assert!(
        reasons(&world).is_empty(),
        "the skew of clocks is tolerated"
    );
    world.run_ms(1000);
    assert_all_cut(&mut world, peers, GoneReason::LeaseExpired);
    let _ = world.publisher(Spec::new(3, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert_eq!(
        world.relay.counters().refusals(RefusalReason::LeaseExpired),
        1
    );
}

#[test]
fn expiry_of_their_own_leases_cuts_callers() {
    let mut world = World::new();
    let token = |role| sign(&claims(1, 1, role, 60));
    let peers = streaming(token(Role::Publish), token(Role::Play), &mut world);
    world.run_ms(90_000);
    assert_all_cut(&mut world, peers, GoneReason::LeaseExpired);
    assert!(
        world.relay.held().is_empty(),
        "the session came with its callers"
    );
}

#[test]
fn renewal_keeps_the_session_and_the_wall_clock_may_be_corrected() {
    let mut world = World::new();
    world.assign(assignment_for(1, 1, 60));
    let [publisher, _] = streaming(live(1), play(1), &mut world);
    world.run_ms(40_000);
    world.assign(assignment_for(1, 1, 120));
    world.run_ms(60_000);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
    world.command(Command::Clock(WALL_START));
    world.run_ms(100_000);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
    let later = WALL_START.plus(std::time::Duration::from_secs(1000));
    world.command(Command::Clock(later));
    world.run_ms(10);
    assert_eq!(world.state(publisher), State::Closed);
}

#[test]
fn resync_holds_exactly_what_it_says() {
    let mut world = World::new();
    world.assign(assignment(1));
    world.assign(assignment(2));
    let peers = streaming(live(1), play(1), &mut world);
    let own = sign(&claims(3, 3, Role::Publish, 1000));
    let own = world.publisher(Spec::new(3, own), 0, &delayed(1));
    world.run_ms(100);
    world.command(Command::Resync {
        grants: vec![grant(&assignment(2)), grant(&assignment(4))],
        keep: vec![],
    });
    assert_all_cut_but(&mut world, peers, own);
    let held: Vec<_> = world
        .relay
        .held()
        .into_iter()
        .map(|held| held.session_id)
        .collect();
    assert_eq!(held, [session_id(2), session_id(3), session_id(4)]);
}

#[test]
fn resync_keeps_what_could_not_be_renewed() {
    let mut world = World::with_session();
    let [publisher, _] = streaming(live(1), play(1), &mut world);
    world.command(Command::Resync {
        grants: vec![],
        keep: vec![session_id(1)],
    });
    world.run_ms(100);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
}

fn assert_all_cut_but(world: &mut World, peers: [usize; 2], kept: usize) {
    world.run_ms(10);
    for peer in peers {
        assert_eq!(world.state(peer), State::Closed);
    }
    assert!(matches!(world.state(kept), State::Connected { .. }));
}

#[test]
fn a_new_session_with_the_old_keys_inherits_them() {
    let mut world = World::with_session();
    let mut renewed = assignment_for(5, 1, 1000);
    let old = assignment(1);
    let keep_key = |new: &mut Option<streamhaul_relay_core::KeyedLease>, old: Option<_>| {
        let old: streamhaul_relay_core::KeyedLease = old.unwrap();
        new.as_mut().unwrap().key = old.key;
    };
    keep_key(&mut renewed.publish, old.publish);
    keep_key(&mut renewed.play, old.play);
    world.assign(renewed);
    world.command(Command::Revoke {
        session: session_id(1),
        reason: "replaced".into(),
    });
    streaming(live(1), play(1), &mut world);
    let held = world.relay.held();
    assert_eq!(
        (&held[0].session_id, held[0].publishing, held[0].players),
        (&session_id(5), true, 1)
    );
}

/// A key that signs nothing here.
fn another_key() -> KeySet {
    KeySet::of([&SigningKey::from_seed(&[8; 32])]).unwrap()
}

#[test]
fn what_lives_on_a_key_that_is_believed_no_more_is_cut() {
    let mut world = World::with_session();
    let peers = streaming(live(1), play(1), &mut world);
    world.command(Command::Keys(another_key()));
    assert_all_cut(&mut world, peers, GoneReason::Revoked);
    let late = world.publisher(Spec::new(3, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(late), State::Refused(_)));
}

#[test]
fn callers_own_leases_go_with_their_key() {
    let mut world = World::new();
    let token = |role| sign(&claims(1, 1, role, 1000));
    let peers = streaming(token(Role::Publish), token(Role::Play), &mut world);
    world.command(Command::Keys(another_key()));
    assert_all_cut(&mut world, peers, GoneReason::Revoked);
    assert!(world.relay.held().is_empty());
}

#[test]
fn a_key_that_joins_the_set_cuts_nobody() {
    let mut world = World::with_session();
    let [publisher, player] = streaming(live(1), play(1), &mut world);
    let (old, new) = (signing_key(), SigningKey::from_seed(&[8; 32]));
    world.command(Command::Keys(KeySet::of([&old, &new]).unwrap()));
    world.run_ms(100);
    for peer in [publisher, player] {
        assert!(matches!(world.state(peer), State::Connected { .. }));
    }
}

#[test]
fn a_session_whose_key_went_lives_again_with_leases_of_another() {
    let mut world = World::with_session();
    let peers = streaming(live(1), play(1), &mut world);
    world.command(Command::Keys(another_key()));
    assert_all_cut(&mut world, peers, GoneReason::Revoked);
    world.command(Command::Keys(key_set()));
    world.assign(assignment(1));
    let again = world.publisher(Spec::new(3, live(1)), 0, &delayed(1));
    world.run_ms(200);
    assert!(matches!(world.state(again), State::Connected { .. }));
}
