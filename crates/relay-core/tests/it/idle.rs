//! A quiet relay sleeps, a busy one is woken by its packets.

use crate::caller::Spec;
use crate::forwarding::delayed;
use crate::leases::{assignment, live, play};
use crate::world::World;

#[test]
fn a_relay_with_nobody_on_it_sleeps() {
    let mut world = World::new();
    for session in 1..50 {
        world.assign(assignment(session));
    }
    world.run_ms(60_000);
    assert_eq!(world.wakes, 0);
}

#[test]
fn a_paused_stream_costs_keepalives_only() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    world.published(publisher).is_running = false;
    world.run_ms(1000);
    let _ = player;
    world.wakes = 0;
    world.run_ms(8000);
    assert!(
        world.wakes <= 2 * 8 + 2,
        "{} wakes in eight seconds",
        world.wakes
    );
}

#[test]
fn a_steady_stream_needs_hardly_a_timer() {
    let mut world = World::with_session();
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let _ = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    world.wakes = 0;
    world.run_ms(10_000);
    assert!(world.wakes <= 30, "{} wakes in ten seconds", world.wakes);
}
