//! Buffered delivery: in order, after the publisher's full latency.

use std::time::Duration;

use model::settings::Delivery;
use streamhaul_relay_core::GoneReason;
use testkit::linksim::{Impairment, Reorder};

use crate::caller::{Spec, State};
use crate::forwarding::{assert_complete, delayed, end_to_end_ms};
use crate::leases::{assignment_with, live, play};
use crate::world::World;

const SECOND: u64 = 1_000_000;

fn world() -> World {
    let mut world = World::new();
    world.assign(assignment_with(1, |claims| {
        claims.delivery = Some(Delivery::Buffered);
    }));
    world
}

fn publisher(world: &mut World, up: &Impairment) -> usize {
    let spec = Spec {
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(spec, 0, up);
    world.run_ms(1500);
    publisher
}

fn stream(up: &Impairment, down: &Impairment, seconds: u64) -> (World, usize, usize) {
    let mut world = world();
    let publisher = publisher(&mut world, up);
    let player = world.player(Spec::new(2, play(1)), down);
    world.run(Duration::from_secs(seconds));
    world.published(publisher).is_running = false;
    world.run_ms(3000);
    (world, publisher, player)
}

#[test]
fn the_player_keeps_its_own_latency_and_both_add_up() {
    let (mut world, publisher, player) = stream(&delayed(20), &delayed(30), 3);
    assert_eq!(world.played(player).latency(), Duration::from_millis(120));
    assert_complete(&mut world, publisher, player);
    for place in [0, 500, 1500] {
        let delay = end_to_end_ms(&mut world, publisher, player, place);
        assert!(
            (568..=571).contains(&delay),
            "{delay} ms for 20 + 400 + 120 + 30"
        );
    }
}

#[test]
fn losses_and_reordering_of_the_publishers_leg_reach_no_player() {
    let reorder = Some(Reorder {
        probability: 0.05,
        delay: Duration::from_millis(15),
    });
    let up = Impairment {
        reorder,
        ..delayed(20).with_loss(0.05)
    };
    let (mut world, publisher, player) = stream(&up, &delayed(5), 20);
    assert_complete(&mut world, publisher, player);
    let sample = world.relay.samples(world.now).remove(0);
    assert!(sample.publisher.unwrap().packets_recovered_total > 300);
    assert_eq!(sample.players[0].naks_received_total, 0);
    assert_eq!(world.played(player).duplicates, 0);
}

#[test]
fn the_players_leg_repairs_itself_within_the_players_latency() {
    let lossy = delayed(15).with_loss(0.02);
    let (mut world, publisher, player) = stream(&delayed(5), &lossy, 20);
    assert_complete(&mut world, publisher, player);
    assert!(world.played(player).retransmitted > 100);
}

#[test]
fn what_is_lost_for_good_is_skipped_at_its_deadline_and_nothing_stalls() {
    let from = Duration::from_secs(4);
    let up = Impairment {
        blackouts: vec![from..from + Duration::from_millis(1500)],
        ..delayed(20)
    };
    let (mut world, publisher, player) = stream(&up, &delayed(5), 8);
    let sent = world.published(publisher).sent;
    let played = world.played(player).played.clone();
    assert_eq!(played.last().map(|played| played.number), Some(sent - 1));
    let longest = played.windows(2).map(|pair| pair[1].at - pair[0].at).max();
    assert!(
        longest.unwrap() < Duration::from_millis(1600),
        "{longest:?}"
    );
    for pair in played.windows(2) {
        assert!(pair[0].number < pair[1].number);
    }
}

#[test]
fn what_waits_still_goes_out_when_its_publisher_is_gone_or_replaced() {
    for replaced in [false, true] {
        let mut world = world();
        let first = publisher(&mut world, &delayed(5));
        let player = world.player(Spec::new(2, play(1)), &delayed(5));
        world.run_ms(2000);
        let now = world.now;
        let sent = world.published(first).sent;
        let bye = world.published(first).shutdown(now);
        world.inject(world.ingress(first), &bye);
        if replaced {
            let shorter = Spec {
                latency_ms: 200,
                ..Spec::new(3, live(1))
            };
            let _ = world.publisher(shorter, SECOND, &delayed(5));
        }
        world.run_ms(2000);
        let numbers = world.played(player).numbers();
        let old: Vec<_> = numbers.iter().filter(|n| **n < SECOND).collect();
        assert!(
            **old.last().unwrap() >= sent - 4,
            "all but what was on its way"
        );
        assert_eq!(world.played(player).skipped, 0);
        assert_eq!(numbers.contains(&SECOND), replaced);
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

#[test]
fn a_cut_stream_leaves_nothing_behind() {
    let mut world = World::new();
    world.assign(assignment_with(1, |claims| {
        claims.delivery = Some(Delivery::Buffered);
        claims.resume = Some(model::settings::Resume::Cut);
    }));
    let _ = publisher(&mut world, &delayed(5));
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(2000);
    let _ = world.publisher(Spec::new(3, live(1)), SECOND, &delayed(5));
    world.run_ms(100);
    assert_eq!(world.state(player), State::Closed);
    let back = world.player(Spec::new(4, play(1)), &delayed(5));
    world.run_ms(2000);
    assert!(world.played(back).numbers()[0] >= SECOND);
    let taken_over = |event: &streamhaul_relay_core::Event| {
        matches!(
            event,
            streamhaul_relay_core::Event::PlayerGone {
                reason: GoneReason::TakenOver,
                ..
            }
        )
    };
    assert!(world.events.iter().any(taken_over));
}

#[test]
fn nothing_is_allocated_for_a_packet_that_waits() {
    let mut world = world();
    let _ = publisher(&mut world, &delayed(5).with_loss(0.02));
    for host in [2, 3] {
        let _ = world.player(Spec::new(host, play(1)), &delayed(5));
    }
    world.run_ms(5000);
    world.allocations = 0;
    world.run_ms(10_000);
    assert_eq!(world.allocations, 0);
}
