//! What a lease says about the time without a publisher.

use model::settings::Resume;
use streamhaul_relay_core::{Event, GoneReason};

use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{assignment_with, live, play};
use crate::world::World;

const SECOND: u64 = 1_000_000;

fn world(change: impl Fn(&mut lease::Claims)) -> World {
    let mut world = World::new();
    world.assign(assignment_with(1, change));
    world
}

fn cut(claims: &mut lease::Claims) {
    claims.resume = Some(Resume::Cut);
}

/// A publisher and a player that has seen something.
fn streaming(world: &mut World) -> [usize; 2] {
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    [publisher, player]
}

fn players_gone(world: &World) -> Vec<GoneReason> {
    let reason = |event: &Event| match event {
        Event::PlayerGone { reason, .. } => Some(*reason),
        _ => None,
    };
    world.events.iter().filter_map(reason).collect()
}

#[test]
fn a_lease_says_how_long_players_are_held() {
    for (hold_seconds, kept) in [(2, false), (30, true)] {
        let mut world = world(|claims| claims.hold_seconds = Some(hold_seconds));
        let [publisher, player] = streaming(&mut world);
        let now = world.now;
        let bye = world.published(publisher).shutdown(now);
        world.inject(world.ingress(publisher), &bye);
        world.run_ms(1900);
        assert!(matches!(world.state(player), State::Connected { .. }));
        world.run_ms(200);
        assert_eq!(world.state(player) != State::Closed, kept);
    }
}

#[test]
fn players_are_cut_at_the_takeover_and_begin_anew() {
    let mut world = world(cut);
    let [_, player] = streaming(&mut world);
    let second = world.publisher(Spec::new(3, live(1)), SECOND, &delayed(5));
    world.run_ms(30);
    assert!(matches!(world.state(second), State::Connected { .. }));
    assert_eq!(world.state(player), State::Closed);
    assert_eq!(players_gone(&world), [GoneReason::TakenOver]);
    let back = world.player(Spec::new(4, play(1)), &delayed(5));
    world.run_ms(1000);
    assert!(world.played(back).numbers()[0] >= SECOND);
    assert_eq!(world.played(back).skipped, 0);
}

#[test]
fn players_are_not_cut_at_silence_but_when_the_publisher_returns() {
    let mut world = world(cut);
    let [publisher, player] = streaming(&mut world);
    world.published(publisher).is_dead = true;
    world.run_ms(15_000);
    assert_eq!(world.relay.publishers(), 0);
    assert!(matches!(world.state(player), State::Connected { .. }));
    let parked = world.player(Spec::new(4, play(1)), &delayed(5));
    world.run_ms(1000);
    let _ = world.publisher(Spec::new(3, live(1)), SECOND, &delayed(5));
    world.run_ms(1000);
    assert_eq!(world.state(player), State::Closed);
    let parked = world.played(parked);
    assert_eq!(parked.numbers()[0], SECOND, "it had seen nothing yet");
    assert_eq!(parked.skipped, 0);
}

#[test]
fn a_renewed_lease_changes_what_a_takeover_does() {
    let mut world = world(cut);
    let [_, player] = streaming(&mut world);
    world.assign(assignment_with(1, |_| {}));
    let _ = world.publisher(Spec::new(3, live(1)), SECOND, &delayed(5));
    world.run_ms(1000);
    assert!(matches!(world.state(player), State::Connected { .. }));
    assert!(world.played(player).numbers().last() >= Some(&SECOND));
}
