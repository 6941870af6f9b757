//! What goes wrong with pass-through forwarding to libsrt players, each with a
//! test that it does not here. The numbers are those of docs/relay/pitfalls.md.

use std::time::Duration;

use srt::packet::build;
use srt::{SeqRange, Timestamp};
use testkit::linksim::{Link, Reorder};

use crate::allocation::allocated_bytes;
use crate::caller::{Spec, State};
use crate::drift::delay_after;
use crate::forwarding::{assert_complete, delayed, end_to_end_ms, stream};
use crate::leases::{live, play};
use crate::world::World;

/// Numbers of a second publisher's payloads start here.
const SECOND: u64 = 1_000_000;

fn publisher_of(latency_ms: u16) -> Spec {
    Spec {
        latency_ms,
        ..Spec::new(1, live(1))
    }
}

/// A publisher, and after `before_ms` a player, both 5 ms away.
fn joined_after(publisher: Spec, before_ms: u64) -> (World, usize, usize) {
    let mut world = World::with_session();
    let publisher = world.publisher(publisher, 0, &delayed(5));
    world.run_ms(before_ms);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    (world, publisher, player)
}

fn nak(world: &mut World, player: usize, first: u32, last: u32) {
    let now = world.now;
    let caller = &world.played(player).caller;
    let (header, isn) = (caller.header(now).unwrap(), caller.isn());
    let range = SeqRange::new(isn.add(first), isn.add(last)).unwrap();
    let mut buffer = [0; 256];
    let length = build::nak(&mut buffer, header, [range]);
    let ingress = world.ingress(player);
    world.inject(ingress, &buffer[..length]);
}

#[test]
fn pitfall_01_a_player_adopts_the_answers_latency_so_it_is_never_less_than_asked() {
    for (asked_ms, adopted_ms) in [(120, 460), (2000, 2000)] {
        let mut world = World::with_session();
        let _ = world.publisher(publisher_of(400), 0, &delayed(5));
        world.run_ms(500);
        let spec = Spec {
            latency_ms: asked_ms,
            ..Spec::new(2, play(1))
        };
        let player = world.player(spec, &delayed(5));
        world.run_ms(100);
        let latency = world.played(player).latency();
        assert_eq!(latency, Duration::from_millis(adopted_ms));
    }
}

#[test]
fn pitfall_02_the_answers_timestamp_is_on_the_publishers_timeline() {
    for before_ms in [100, 1600, 60_000] {
        let (mut world, publisher, player) = joined_after(publisher_of(400), before_ms);
        world.run_ms(2000);
        let delay = end_to_end_ms(&mut world, publisher, player, 300);
        assert!((468..=471).contains(&delay), "{delay} ms for 5 + 460 + 5");
    }
}

#[test]
fn pitfall_03_every_packet_to_a_player_is_on_one_timeline() {
    let (mut world, publisher, player) = joined_after(publisher_of(400), 1600);
    world.run_ms(30_000);
    world.published(publisher).is_dead = true;
    world.run_ms(30_000);
    let played = world.played(player);
    assert!(played.keepalives > 20 && played.acks_confirmed > 1000);
    assert!(
        played.clock_error_max_us <= 1,
        "{} µs between control packets",
        played.clock_error_max_us
    );
}

#[test]
fn pitfall_04_the_publishers_drift_is_passed_on_by_control_packets() {
    let delay = delay_after(-2000, 70);
    let off = delay.abs_diff(Duration::from_millis(480));
    assert!(off < Duration::from_millis(60), "{delay:?}");
}

#[test]
fn pitfall_05_each_player_has_a_clock_of_its_own_far_from_the_wrap() {
    for before_wrap_us in [5_000_000, 600_000, 400_000] {
        let spec = Spec {
            clock_us: (1 << 32) - before_wrap_us,
            ..publisher_of(400)
        };
        let (mut world, publisher, player) = joined_after(spec, 500);
        world.run_ms(100);
        let base = world.played(player).first_timestamp.unwrap();
        assert!(base.offset_us(Timestamp(10_000_000)).abs() < 10_000);
        world.run_ms(8000);
        assert_eq!(world.played(player).skipped, 0);
        for place in [0, 300, 3000] {
            let delay = end_to_end_ms(&mut world, publisher, player, place);
            assert!((468..=471).contains(&delay), "{delay} ms");
        }
    }
}

#[test]
fn pitfall_06_what_is_not_here_yet_is_neither_forwarded_as_a_loss_nor_refused() {
    let (mut world, publisher, player) = stream(400, &delayed(40).with_loss(0.05), &delayed(5), 10);
    assert_complete(&mut world, publisher, player);
    let lost = world.peers[publisher].up.tally().lost;
    let again = world.published(publisher).retransmitted;
    assert!(again < lost * 2, "{again} asked for, {lost} lost");
    assert_eq!(world.played(player).drop_requests, 0);
}

#[test]
fn pitfall_07_what_is_under_way_is_not_sent_again() {
    let lossy = delayed(20).with_loss(0.02);
    let (mut world, publisher, player) = stream(400, &lossy, &lossy, 20);
    assert_complete(&mut world, publisher, player);
    let sample = world.relay.samples(world.now).remove(0).players.remove(0);
    let lost = world.peers[player].down.tally().lost;
    let again = sample.packets_retransmitted_total;
    assert!(
        again <= lost + lost / 4,
        "{again} sent again for {lost} lost"
    );
}

#[test]
fn pitfall_08_the_nodes_counters_tell_the_legs_apart() {
    let (mut world, _, player) = stream(400, &delayed(40).with_loss(0.05), &delayed(5), 10);
    assert!(world.played(player).losses_seen > 200, "the player's own");
    let sample = world.relay.samples(world.now).remove(0);
    let publisher = sample.publisher.unwrap();
    assert!(publisher.packets_lost_total > 200);
    assert_eq!(publisher.packets_dropped_total, 0);
    let player = sample.players[0];
    assert_eq!(player.packets_retransmitted_total, 0);
    assert_eq!(player.packets_dropped_total, 0);
}

#[test]
fn pitfall_09_only_what_was_sent_again_says_so() {
    let mut up = delayed(5);
    up.reorder = Some(Reorder {
        probability: 0.05,
        delay: Duration::from_millis(4),
    });
    let (mut world, _, player) = stream(400, &up, &delayed(5), 10);
    assert!(world.played(player).losses_seen > 100, "seen out of order");
    assert_eq!(world.played(player).retransmitted, 0);
    let (mut world, publisher, player) = stream(400, &delayed(5).with_loss(0.05), &delayed(5), 10);
    let lost = world.peers[publisher].up.tally().lost;
    let flagged = world.played(player).retransmitted;
    assert!(flagged > lost / 2, "{flagged} flagged, {lost} lost");
}

#[test]
fn pitfall_10_a_given_up_range_is_answered_with_one_drop_request_a_report() {
    let (mut world, publisher, player) = joined_after(publisher_of(120), 500);
    world.run_ms(5000);
    world.published(publisher).is_running = false;
    for reports in 1..=3 {
        nak(&mut world, player, 10, 300);
        world.run_ms(10);
        assert_eq!(world.played(player).drop_requests, reports);
    }
    let sample = world.relay.samples(world.now).remove(0).players[0];
    assert_eq!(sample.packets_dropped_total, 291, "each counts once");
}

#[test]
fn pitfall_11_no_jump_breaks_the_players_connection() {
    for jump in [5000, 7000, 9000, 500_000] {
        let (mut world, publisher, player) = joined_after(publisher_of(120), 500);
        world.run_ms(2000);
        world.published(publisher).sent += jump;
        world.run_ms(2000);
        let newest = world.published(publisher).sent;
        let played = world.played(player);
        assert!(played.numbers().last().unwrap() + 200 > newest);
        assert_eq!(played.skipped, 0, "after a jump of {jump}");
    }
}

#[test]
fn pitfall_12_the_first_packets_are_kept_for_a_player_that_was_not_ready() {
    let (mut world, _, player) = joined_after(publisher_of(400), 500);
    world.played(player).deaf_to = 3;
    world.run_ms(2000);
    let played = world.played(player);
    let numbers = played.numbers();
    assert_eq!(played.retransmitted, 3);
    assert_eq!(played.skipped, 0);
    assert_eq!(
        numbers.len() as u64,
        numbers.last().unwrap() - numbers[0] + 1
    );
}

#[test]
fn pitfall_13_after_an_outage_the_first_packet_is_due_at_the_full_latency() {
    let (mut world, publisher, player) = joined_after(publisher_of(400), 500);
    world.run_ms(1000);
    world.published(publisher).is_dead = true;
    world.run_ms(3000);
    let back = Spec {
        clock_us: 77,
        isn: 9,
        addr: Spec::new(3, "").addr,
        ..publisher_of(400)
    };
    let back = world.publisher(back, SECOND, &delayed(5));
    world.run_ms(2000);
    let played = world.played(player).played.clone();
    let first = *played.iter().find(|p| p.number >= SECOND).unwrap();
    let delay = first.at - world.published(back).published_at[(first.number - SECOND) as usize];
    assert!(delay.abs_diff(Duration::from_millis(470)) < Duration::from_millis(3));
}

#[test]
fn pitfall_14_a_held_player_hears_from_the_node_each_second() {
    let (mut world, publisher, player) = joined_after(publisher_of(400), 500);
    world.run_ms(1000);
    world.published(publisher).is_dead = true;
    world.run_ms(12_000);
    world.played(player).keepalives = 0;
    world.run_ms(60_000);
    assert_eq!(world.played(player).keepalives, 60);
    assert!(matches!(world.state(player), State::Connected { .. }));
}

#[test]
fn pitfall_15_a_slow_handshake_does_not_stay_in_the_delay() {
    let mut world = World::with_session();
    let publisher = world.publisher(publisher_of(400), 0, &delayed(60));
    world.run_ms(240);
    world.peers[publisher].up = Link::new(1, delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    let delay = end_to_end_ms(&mut world, publisher, player, 100);
    assert!((468..=472).contains(&delay), "{delay} ms for 5 + 460 + 5");
}

#[test]
fn pitfall_16_a_takeover_takes_no_new_buffer() {
    let (mut world, _, player) = joined_after(publisher_of(400), 500);
    world.run_ms(5000);
    let before = allocated_bytes();
    world.bytes_allocated = 0;
    let second = Spec {
        addr: Spec::new(3, "").addr,
        ..publisher_of(400)
    };
    let _ = world.publisher(second, SECOND, &delayed(5));
    world.run_ms(2000);
    assert!(allocated_bytes() > before, "the count works");
    assert!(world.played(player).numbers().last() > Some(&SECOND));
    let taken = world.bytes_allocated;
    assert!(taken < 128 << 10, "{taken} bytes taken");
}
