//! Streams that last for hours: clocks wrap every 71.6 minutes and drift all
//! the while.

use std::time::Duration;

use model::settings::Delivery;

use crate::caller::Spec;
use crate::forwarding::delayed;
use crate::leases::{assignment_with, live, play};
use crate::world::World;

const HOURS: u64 = 6;

/// The delay at the end of six hours of a publisher whose clock is off and near
/// its wrap, over paths that lose packets; nothing may be missing.
fn delay_after_hours(delivery: Delivery, clock_ppm: i64) -> Duration {
    let mut world = World::new();
    world.assign(assignment_with(1, |claims| {
        claims.delivery = Some(delivery);
    }));
    let spec = Spec {
        clock_ppm,
        clock_us: (1 << 32) - 30_000_000,
        latency_ms: 400,
        isn: 0x7fff_ff00,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(spec, 0, &delayed(10).with_loss(0.002));
    world.published(publisher).interval = Duration::from_millis(100);
    world.run_ms(2000);
    let player = world.player(Spec::new(2, play(1)), &delayed(10).with_loss(0.002));
    world.run(Duration::from_secs(HOURS * 3600));
    let played = world.played(player);
    assert_eq!(played.skipped, 0);
    assert!(played.played.len() as u64 > HOURS * 36_000 - 100);
    let last = *played.played.last().unwrap();
    last.at - world.published(publisher).published_at[last.number as usize]
}

#[test]
fn six_hours_of_drift_and_five_wraps_leave_the_delay_as_it_was() {
    for (delivery, clock_ppm, expected_ms) in [
        (Delivery::PassThrough, 0, 480),
        (Delivery::PassThrough, -100, 480),
        (Delivery::PassThrough, 100, 480),
        (Delivery::Buffered, -100, 540),
        (Delivery::Buffered, 100, 540),
    ] {
        let delay = delay_after_hours(delivery, clock_ppm);
        let off = delay.abs_diff(Duration::from_millis(expected_ms));
        assert!(
            off < Duration::from_millis(25),
            "{delay:?} instead of {expected_ms} ms at {clock_ppm} ppm, {delivery}"
        );
    }
}
