//! What a player's loss reports are answered with.

use std::time::Duration;

use srt::SeqRange;
use srt::packet::build;
use streamhaul_relay_core::{Config, DropReason, Limits};
use testkit::linksim::Impairment;

use crate::caller::Spec;
use crate::forwarding::{assert_complete, delayed, stream};
use crate::leases::{assignment, live, play};
use crate::world::World;

fn blackout(from_ms: u64, ms: u64) -> Impairment {
    let from = Duration::from_millis(from_ms);
    Impairment {
        blackouts: vec![from..from + Duration::from_millis(ms)],
        ..delayed(20)
    }
}

#[test]
fn a_packet_that_is_not_here_yet_is_neither_sent_twice_nor_refused() {
    let (mut world, publisher, player) = stream(400, &delayed(40).with_loss(0.05), &delayed(5), 20);
    assert_complete(&mut world, publisher, player);
    let sample = world.relay.samples(world.now).remove(0);
    assert!(sample.players[0].naks_received_total > 200);
    assert_eq!(sample.players[0].packets_retransmitted_total, 0);
    assert_eq!(world.played(player).drop_requests, 0);
    assert_eq!(world.played(player).duplicates, 0);
}

#[test]
fn a_packet_under_way_is_not_sent_again() {
    let (mut world, publisher, player) =
        stream(600, &delayed(5), &delayed(100).with_loss(0.02), 20);
    assert_complete(&mut world, publisher, player);
    let sample = world.relay.samples(world.now).remove(0).players[0];
    let lost = world.peers[player].down.tally().lost;
    let again = sample.packets_retransmitted_total;
    assert!(again < lost * 3 / 2, "{again} sent again for {lost} lost");
    assert!(
        sample.naks_received_total > again,
        "reports are repeated while packets are under way"
    );
}

#[test]
fn what_both_legs_lost_for_good_is_dropped_and_the_stream_goes_on() {
    let (mut world, publisher, player) = stream(200, &blackout(4000, 1500), &delayed(5), 8);
    let sent = world.published(publisher).sent;
    let numbers = world.played(player).numbers();
    assert_eq!(numbers.last(), Some(&(sent - 1)));
    let sample = world.relay.samples(world.now).remove(0);
    let publisher = sample.publisher.unwrap();
    assert_eq!(
        publisher.packets_lost_total,
        publisher.packets_recovered_total + publisher.packets_dropped_total
    );
}

#[test]
fn an_outage_shorter_than_the_latency_loses_nothing() {
    for (up, down) in [
        (blackout(4000, 300), delayed(20)),
        (delayed(20), blackout(4000, 300)),
    ] {
        let (mut world, publisher, player) = stream(600, &up, &down, 8);
        assert_complete(&mut world, publisher, player);
    }
}

#[test]
fn a_given_up_range_is_answered_with_one_drop_request() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(5000);
    let now = world.now;
    let caller = &world.played(player).caller;
    let header = caller.header(now).unwrap();
    let isn = caller.isn();
    let range = SeqRange::new(isn.add(10), isn.add(300)).unwrap();
    let mut buffer = [0; 256];
    let length = build::nak(&mut buffer, header, [range]);
    let ingress = world.ingress(player);
    world.inject(ingress, &buffer[..length]);
    world.published(publisher).is_running = false;
    world.run_ms(100);
    assert_eq!(world.played(player).drop_requests, 1);
    assert_eq!(world.played(player).retransmitted, 0);
}

#[test]
fn reports_of_what_was_never_sent_mean_nothing() {
    let mut world = World::with_session();
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(1000);
    let now = world.now;
    let caller = &world.played(player).caller;
    let (header, isn) = (caller.header(now).unwrap(), caller.isn());
    let ingress = world.ingress(player);
    let before = world.relay.counters().egress_datagrams;
    for (from, to) in [
        (100_000, 200_000),
        (1 << 29, (1 << 29) + 5),
        (0x7fff_ff00, 0x7fff_ffff),
    ] {
        let range = SeqRange::new(isn.add(from), isn.add(to)).unwrap();
        let mut buffer = [0; 256];
        let length = build::nak(&mut buffer, header, [range]);
        world.inject(ingress, &buffer[..length]);
    }
    assert_eq!(world.relay.counters().egress_datagrams, before);
}

#[test]
fn a_publisher_that_jumps_takes_no_player_along() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(1000);
    let before = world.published(publisher).sent;
    world.published(publisher).sent += 500_000;
    world.run_ms(1000);
    let numbers = world.played(player).numbers();
    assert!(numbers.contains(&(before - 1)) && numbers.contains(&(before + 500_000)));
    assert_eq!(world.played(player).skipped, 0);
}

/// A relay, a stream of five seconds, and a player that reports what it likes.
fn reporter() -> (World, usize) {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(5000);
    world.published(publisher).is_running = false;
    world.run_ms(100);
    (world, player)
}

/// Reports these ranges, as places in the player's sequence; how many datagrams
/// came of it.
fn report(world: &mut World, player: usize, ranges: &[(u32, u32)]) -> u64 {
    let before = world.relay.counters().egress_datagrams;
    let now = world.now;
    let caller = &world.played(player).caller;
    let (header, isn) = (caller.header(now).unwrap(), caller.isn());
    let range = |(first, last)| SeqRange::new(isn.add(first), isn.add(last)).unwrap();
    let mut buffer = [0; 1472];
    let length = build::nak(&mut buffer, header, ranges.iter().copied().map(range));
    let ingress = world.ingress(player);
    world.inject(ingress, &buffer[..length]);
    world.relay.counters().egress_datagrams - before
}

#[test]
fn a_flood_of_reports_is_answered_with_few_drop_requests() {
    let (mut world, player) = reporter();
    let old: Vec<(u32, u32)> = (0..360).map(|place| (place * 2, place * 2)).collect();
    assert_eq!(report(&mut world, player, &old), 32);
    let more: u64 = (0..1000).map(|_| report(&mut world, player, &old)).sum();
    assert_eq!(more, 500 - 32);
    world.run_ms(100);
    let later: u64 = (0..1000).map(|_| report(&mut world, player, &old)).sum();
    assert!((50..60).contains(&later), "{later} for a tenth of a second");
}

#[test]
fn a_player_that_reports_without_end_waits_for_its_answers() {
    let (mut world, player) = reporter();
    let newest = world.played(player).arrivals as u32 - 1;
    assert_eq!(
        report(&mut world, player, &[(newest, newest)]),
        1,
        "it is sent again"
    );
    let everything = [(0, newest - 100); 182];
    for _ in 0..100 {
        report(&mut world, player, &everything);
    }
    let recent = [(newest - 1, newest - 1)];
    assert_eq!(
        report(&mut world, player, &recent),
        0,
        "it asked for too much"
    );
    world.run_ms(50);
    assert_eq!(report(&mut world, player, &recent), 1, "and is forgiven");
}

#[test]
fn players_that_want_everything_again_leave_room_for_what_is_new() {
    let mut world = World::with(Config {
        limits: Limits {
            transmit_bytes_max: 128 << 10,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.assign(assignment(1));
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let good = world.player(Spec::new(2, play(1)), &delayed(1));
    let hungry: Vec<usize> = (3..9)
        .map(|host| world.player(Spec::new(host, play(1)), &delayed(1)))
        .collect();
    world.run_ms(3000);

    let before = world.relay.counters().egress_bytes;
    world.is_turn_open = true;
    for player in &hungry {
        world.played(*player).is_dead = true;
        let newest = world.played(*player).arrivals as u32 - 1;
        report(&mut world, *player, &[(newest - 500, newest - 30)]);
    }
    let again = world.relay.counters().egress_bytes - before;
    assert!(again > 60 << 10, "{again} bytes only: nobody was hungry");
    world.run_ms(10);
    world.is_turn_open = false;
    world.published(publisher).is_running = false;
    world.run_ms(500);

    assert_eq!(world.relay.counters().drops(DropReason::TransmitFull), 0);
    assert_complete(&mut world, publisher, good);
    assert_eq!(world.played(good).retransmitted, 0);
}
