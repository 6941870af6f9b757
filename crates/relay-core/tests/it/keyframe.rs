//! A player begins where a decoder can.

use std::time::Duration;

use model::settings::{Delivery, Start};
use testkit::linksim::Bottleneck;

use crate::caller::Spec;
use crate::forwarding::delayed;
use crate::leases::{assignment_with, live, play};
use crate::world::World;

/// A table and an access point come every so many packets.
const GROUP: u64 = 1000;

fn world_with(change: impl Fn(&mut lease::Claims)) -> World {
    let mut world = World::new();
    world.assign(assignment_with(1, |claims| {
        claims.start = Some(Start::Keyframe);
        change(claims);
    }));
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.published(publisher).group = Some(GROUP);
    world.run_ms(200);
    world
}

/// The number of the next packet that the relay gets.
fn newest(world: &mut World) -> u64 {
    world.published(0).sent
}

#[test]
fn it_begins_at_the_last_table_before_an_access_point_and_misses_nothing() {
    for delivery in [Delivery::PassThrough, Delivery::Buffered] {
        let mut world = world_with(|claims| claims.delivery = Some(delivery));
        world.run_ms(4000);
        let newest = newest(&mut world);
        let player = world.player(Spec::new(2, play(1)), &delayed(5));
        world.run_ms(3000);
        let played = world.played(player);
        let first = played.numbers()[0];
        assert_eq!(first % GROUP, 0, "at {first} of {newest}");
        assert!(first < newest && newest - first <= GROUP + 100);
        assert_eq!(played.skipped, 0);
        let last = *played.numbers().last().unwrap();
        assert_eq!(played.numbers(), (first..=last).collect::<Vec<_>>());
        assert_eq!((played.retransmitted, played.duplicates), (0, 0));
    }
}

#[test]
fn the_catch_up_is_paced_and_then_it_is_live() {
    let mut world = world_with(|_| {});
    world.run_ms(4500);
    let mut narrow = delayed(5);
    // Room for the catch-up's pace, and for few packets at once.
    narrow.bottleneck = Some(Bottleneck {
        rate_bps: 16_000_000,
        queue_bytes_max: 10_000,
    });
    let player = world.player(Spec::new(2, play(1)), &narrow);
    world.run_ms(3000);
    assert_eq!(world.peers[player].down.tally().lost, 0);
    let latency = world.played(player).latency();
    let last = *world.played(player).played.last().unwrap();
    let published = world.published(0).published_at[last.number as usize];
    let delay = last.at - published;
    assert!(delay.abs_diff(latency + Duration::from_millis(10)) < Duration::from_millis(3));
}

#[test]
fn losses_during_the_catch_up_are_repaired_as_far_as_time_allows() {
    let mut world = world_with(|_| {});
    world.run_ms(4500);
    let player = world.player(Spec::new(2, play(1)), &delayed(20).with_loss(0.05));
    world.run_ms(5000);
    let numbers = world.played(player).numbers();
    let live = numbers.iter().filter(|number| **number > 4000).count() as u64;
    assert_eq!(live, numbers.last().unwrap() - 4000, "live is complete");
}

#[test]
fn the_players_window_is_never_overrun() {
    let mut world = world_with(|_| {});
    world.run_ms(5000);
    let small = Spec {
        flow_window: 200,
        ..Spec::new(2, play(1))
    };
    let player = world.player(small, &delayed(20));
    world.run_ms(5000);
    let played = world.played(player);
    assert!(played.ahead_max <= 200, "{} in flight", played.ahead_max);
    assert_eq!(played.numbers()[0] % GROUP, 0);
    assert_eq!(played.skipped, 0);
}

#[test]
fn a_player_may_want_the_newest_and_other_payloads_have_no_start() {
    let mut world = world_with(|claims| {
        if claims.role == model::session::Role::Play {
            claims.start = Some(Start::Newest);
        }
    });
    world.run_ms(4000);
    let before = newest(&mut world);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    assert!(world.played(player).numbers()[0] >= before);

    let mut world = world_with(|_| {});
    world.published(0).group = None;
    world.run_ms(8000);
    let before = newest(&mut world);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    assert!(world.played(player).numbers()[0] >= before);
}

#[test]
fn an_old_start_and_one_of_an_earlier_publisher_are_none() {
    let mut world = world_with(|_| {});
    world.run_ms(2000);
    world.published(0).group = None;
    world.run_ms(5000);
    let before = newest(&mut world);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    assert!(world.played(player).numbers()[0] >= before);

    let mut world = world_with(|_| {});
    world.run_ms(2000);
    world.published(0).is_dead = true;
    let _ = world.publisher(Spec::new(3, live(1)), 1_000_000, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(4, play(1)), &delayed(5));
    world.run_ms(1000);
    assert!(world.played(player).numbers()[0] >= 1_000_000);
}

#[test]
fn a_renewed_lease_lets_the_next_players_begin_there() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.published(publisher).group = Some(GROUP);
    world.run_ms(3000);
    world.assign(assignment_with(1, |claims| {
        claims.start = Some(Start::Keyframe);
    }));
    world.run_ms(3000);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    assert_eq!(world.played(player).numbers()[0] % GROUP, 0);
}
