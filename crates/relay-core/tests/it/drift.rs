//! A publisher's clock runs fast or slow; the players' latency stays.

use std::time::Duration;

use crate::caller::Spec;
use crate::forwarding::delayed;
use crate::leases::{live, play};
use crate::world::World;

/// The delay of the last packets of a long stream of such a publisher.
pub(crate) fn delay_after(clock_ppm: i64, seconds: u64) -> Duration {
    let (mut world, publisher, player) = drifting(clock_ppm, seconds);
    assert_eq!(world.played(player).skipped, 0);
    let last = *world.played(player).played.last().unwrap();
    last.at - world.published(publisher).published_at[last.number as usize]
}

/// A long stream of such a publisher, and its player.
pub(crate) fn drifting(clock_ppm: i64, seconds: u64) -> (World, usize, usize) {
    let mut world = World::with_session();
    let spec = Spec {
        clock_ppm,
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(spec, 0, &delayed(10));
    world.published(publisher).interval = Duration::from_millis(5);
    world.run_ms(1000);
    let player = world.player(Spec::new(2, play(1)), &delayed(10));
    world.run(Duration::from_secs(seconds));
    (world, publisher, player)
}

#[test]
fn the_players_follow_the_publishers_clock() {
    for clock_ppm in [-2000, -100, 100, 2000] {
        let delay = delay_after(clock_ppm, 120);
        let off = delay.abs_diff(Duration::from_millis(480));
        assert!(
            off < Duration::from_millis(60),
            "{delay:?} at {clock_ppm} ppm"
        );
    }
}

#[test]
fn over_an_hour_the_latency_does_not_creep() {
    let delay = delay_after(-100, 3600);
    let off = delay.abs_diff(Duration::from_millis(480));
    assert!(off < Duration::from_millis(10), "{delay:?}");
}
