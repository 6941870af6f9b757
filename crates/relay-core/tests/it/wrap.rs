//! Sequence numbers and timestamps run over.

use std::time::Duration;

use crate::caller::Spec;
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{live, play};
use crate::world::World;

#[test]
fn both_legs_cross_the_end_of_the_sequence_numbers() {
    let lossy = delayed(15).with_loss(0.03);
    for (up, down) in [
        (0x7fff_ff00, 7),
        (9, 0x7fff_ff00),
        (0x7fff_fb00, 0x7fff_ff00),
    ] {
        let mut world = World::with_session();
        let spec = Spec {
            isn: up,
            latency_ms: 400,
            ..Spec::new(1, live(1))
        };
        let publisher = world.publisher(spec, 0, &lossy);
        world.run_ms(1000);
        let player = world.player(
            Spec {
                isn: down,
                ..Spec::new(2, play(1))
            },
            &lossy,
        );
        world.run_ms(3000);
        world.published(publisher).is_running = false;
        world.run_ms(2000);
        assert_complete(&mut world, publisher, player);
    }
}

#[test]
fn the_publishers_clock_wraps() {
    let lossy = delayed(15).with_loss(0.03);
    let mut world = World::with_session();
    let clock_us = (1 << 32) - 2_500_000;
    let spec = Spec {
        clock_us,
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(spec, 0, &lossy);
    world.run_ms(1000);
    let player = world.player(Spec::new(2, play(1)), &lossy);
    world.run_ms(4000);
    world.published(publisher).is_running = false;
    world.run_ms(2000);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn the_players_clock_wraps_every_71_minutes() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.published(publisher).interval = Duration::from_millis(40);
    world.run_ms(1000);
    let player = world.player(Spec::new(2, play(1)), &delayed(5).with_loss(0.005));
    world.run(Duration::from_secs(2 * 4295 + 60));
    world.published(publisher).is_running = false;
    world.run_ms(2000);
    assert_complete(&mut world, publisher, player);
    let last = *world.played(player).played.last().unwrap();
    let delay = last.at - world.published(publisher).published_at[last.number as usize];
    assert!(
        delay.abs_diff(Duration::from_millis(190)) < Duration::from_millis(5),
        "{delay:?}"
    );
}
