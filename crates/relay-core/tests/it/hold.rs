//! The publisher goes; its players are kept for it.

use std::time::Duration;

use model::session::Role;
use streamhaul_relay_core::{Config, Event, GoneReason};

use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{assignment, live, play, session_id};
use crate::world::World;

const SECOND: u64 = 1_000_000;

/// A stream whose publisher died a moment ago, without a word.
fn orphaned() -> (World, usize) {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    world.published(publisher).is_dead = true;
    (world, player)
}

fn gone(world: &World, role: Role) -> Option<GoneReason> {
    world.events.iter().find_map(|event| match (role, event) {
        (Role::Publish, Event::PublisherGone { reason, .. })
        | (Role::Play, Event::PlayerGone { reason, .. }) => Some(*reason),
        _ => None,
    })
}

#[test]
fn a_silent_publisher_is_gone_after_its_timeout_and_its_player_is_kept_alive() {
    let (mut world, player) = orphaned();
    world.run_ms(9000);
    assert_eq!(world.relay.publishers(), 1);
    world.run_ms(2000);
    assert_eq!(world.relay.publishers(), 0);
    assert_eq!(gone(&world, Role::Publish), Some(GoneReason::TimedOut));
    world.played(player).keepalives = 0;
    world.run_ms(30_000);
    assert!(matches!(world.state(player), State::Connected { .. }));
    assert_eq!(world.played(player).keepalives, 30);
}

#[test]
fn a_publisher_that_returns_goes_on_where_the_old_one_was() {
    for away_ms in [3000, 12_000, 60_000] {
        let (mut world, player) = orphaned();
        world.run_ms(away_ms);
        let back = Spec {
            isn: 5,
            clock_us: 99,
            ..Spec::new(3, live(1))
        };
        let back = world.publisher(back, SECOND, &delayed(5));
        world.run_ms(2000);
        let played = world.played(player);
        assert_eq!(played.skipped, 0, "after {away_ms} ms");
        let first = *played
            .played
            .iter()
            .find(|played| played.number >= SECOND)
            .unwrap();
        assert_eq!(first.number, SECOND);
        let delay = first.at - world.published(back).published_at[0];
        assert!(
            delay.abs_diff(Duration::from_millis(190)) < Duration::from_millis(3),
            "{delay:?}"
        );
    }
}

#[test]
fn a_player_may_come_while_the_publisher_is_away() {
    let (mut world, _) = orphaned();
    world.run_ms(15_000);
    let parked = world.player(Spec::new(4, play(1)), &delayed(5));
    world.run_ms(1000);
    assert!(matches!(world.state(parked), State::Connected { .. }));
    let _ = world.publisher(Spec::new(3, live(1)), SECOND, &delayed(5));
    world.run_ms(1000);
    assert_eq!(world.played(parked).numbers()[0], SECOND);
    assert_eq!(world.played(parked).skipped, 0);
}

#[test]
fn after_the_hold_the_players_are_let_go() {
    let hold = Duration::from_secs(20);
    let mut world = World::with(Config {
        hold,
        ..Config::default()
    });
    world.assign(assignment(1));
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    let bye = world.published(publisher);
    bye.is_running = false;
    let now = world.now;
    let shutdown = world.published(publisher).shutdown(now);
    world.inject(world.ingress(publisher), &shutdown);
    assert_eq!(gone(&world, Role::Publish), Some(GoneReason::Closed));
    world.run_ms(19_900);
    assert!(matches!(world.state(player), State::Connected { .. }));
    world.run_ms(200);
    assert_eq!(world.state(player), State::Closed);
    assert_eq!(gone(&world, Role::Play), Some(GoneReason::HoldExpired));
    assert!(world.relay.is_idle());
    assert_eq!(
        world.relay.held()[0].session_id,
        session_id(1),
        "the session stays held"
    );
}
