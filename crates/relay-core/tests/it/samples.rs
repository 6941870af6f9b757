//! What a connection's sample says.

use std::time::Duration;

use model::settings::Delivery;
use testkit::linksim::Reorder;

use crate::caller::Spec;
use crate::drift::drifting;
use crate::forwarding::delayed;
use crate::leases::{assignment_with, live, play};
use crate::world::World;

#[test]
fn players_keep_their_ids_when_others_go() {
    let mut world = World::with_session();
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    let players = [2, 3, 4].map(|host| world.player(Spec::new(host, play(1)), &delayed(1)));
    world.run_ms(1000);
    let ids = |world: &mut World| {
        let sample = world.relay.samples(world.now).remove(0);
        let ids = sample.players.iter().map(|player| player.player_id);
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&mut world), [1, 2, 3]);
    world.played(players[0]).is_dead = true;
    world.run_ms(12_000);
    assert_eq!(ids(&mut world), [2, 3]);
    let _ = world.player(Spec::new(5, play(1)), &delayed(1));
    world.run_ms(100);
    assert_eq!(ids(&mut world), [2, 3, 4], "an id is nobody else's");
}

#[test]
fn both_legs_say_what_is_on_the_way_and_what_was_acknowledged() {
    let mut world = World::with_session();
    let mut up = delayed(20);
    up.reorder = Some(Reorder {
        probability: 0.05,
        delay: Duration::from_millis(10),
    });
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &up);
    world.run_ms(100);
    let player = world.player(Spec::new(2, play(1)), &delayed(30));
    world.run_ms(5000);
    let sample = world.relay.samples(world.now).remove(0);
    let (of_publisher, of_player) = (sample.publisher.unwrap(), sample.players[0]);
    assert!((4..=6).contains(&of_publisher.reorder_packets_max), "10 ms");
    assert!(of_publisher.acks_sent_total >= world.published(publisher).acks);
    assert!(of_publisher.ackacks_received_total > 300);
    assert_eq!(of_publisher.packets_limited_total, 0);
    let round_trip_packets = 60_000 / 1750;
    let in_flight = of_player.packets_in_flight;
    assert!(
        (round_trip_packets..round_trip_packets + 20).contains(&in_flight),
        "{in_flight} packets in 60 ms and an acknowledgement's wait"
    );
    assert_eq!(of_player.window_packets, 8192);
    assert!(of_player.acks_received_total > 300);
    let rate = of_player.receive_rate_bps;
    assert!(rate.abs_diff(300 * 571 * 8) < 100_000, "{rate}");
    assert_eq!(world.played(player).skipped, 0);
}

#[test]
fn a_held_session_says_how_far_its_caller_is_once_that_was_measured() {
    let mut world = World::with_session();
    let far = |world: &World| world.relay.held()[0].publisher_rtt_us;
    assert_eq!(far(&world), None, "nobody publishes");
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(20));
    world.run_ms(5000);
    let rtt_us = far(&world).unwrap();
    assert!((40_000..50_000).contains(&rtt_us), "{rtt_us}");
}

#[test]
fn a_buffered_stream_says_how_much_waits() {
    let mut world = World::new();
    world.assign(assignment_with(1, |claims| {
        claims.delivery = Some(Delivery::Buffered);
    }));
    let spec = Spec {
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let _ = world.publisher(spec, 0, &delayed(1));
    world.run_ms(5000);
    let sample = world.relay.samples(world.now).remove(0);
    let waiting = sample.publisher.unwrap().packets_buffered;
    assert!(waiting.abs_diff(400_000 / 1750) < 5, "{waiting} packets");
}

#[test]
fn the_clocks_drift_is_told() {
    for clock_ppm in [-200, 200] {
        let mut world = drifting(clock_ppm, 120).0;
        let sample = world.relay.samples(world.now).remove(0);
        let drift_us = sample.publisher.unwrap().drift_us;
        let off = (drift_us - clock_ppm * 120).abs();
        assert!(off < 4000, "{drift_us} µs at {clock_ppm} ppm");
    }
}
