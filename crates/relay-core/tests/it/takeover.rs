//! A publisher is replaced by another with the same key.

use std::time::Duration;

use streamhaul_relay_core::Event;
use testkit::linksim::Impairment;

use crate::caller::{Spec, State};
use crate::forwarding::{delayed, end_to_end_ms};
use crate::leases::{live, play, session_id};
use crate::world::World;

/// Numbers of the second publisher's payloads start here.
const SECOND: u64 = 1_000_000;

/// A stream whose publisher is taken over after two seconds; both go on sending.
fn taken_over(second: Spec, path: &Impairment) -> (World, usize, usize, usize) {
    let mut world = World::with_session();
    let first = world.publisher(
        Spec {
            latency_ms: 400,
            ..Spec::new(1, live(1))
        },
        0,
        path,
    );
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), path);
    world.run_ms(2000);
    let second = world.publisher(second, SECOND, path);
    world.run_ms(4000);
    (world, first, second, player)
}

fn second() -> Spec {
    let isn = 0x7fff_ff00;
    Spec {
        latency_ms: 400,
        isn,
        clock_us: 4_000_000_000,
        ..Spec::new(3, live(1))
    }
}

#[test]
fn the_same_key_from_elsewhere_takes_over_at_once() {
    let (mut world, first, second, player) = taken_over(second(), &delayed(10));
    assert_eq!(world.state(first), State::Closed);
    assert!(world.published(second).sent > 2000);
    let session = session_id(1);
    let takeover = |event: &Event| matches!(event, Event::PublisherConnected { session: s, takeover: true, .. } if *s == session);
    assert!(world.events.iter().any(takeover));
    assert!(
        !world
            .events
            .iter()
            .any(|event| matches!(event, Event::PublisherGone { .. }))
    );
    assert!(matches!(world.state(player), State::Connected { .. }));
}

#[test]
fn the_player_gets_every_packet_of_the_new_publisher_and_none_of_the_old_twice() {
    let (mut world, _, _, player) = taken_over(second(), &delayed(10));
    assert_eq!(
        world.played(player).skipped,
        0,
        "the sequence goes on without a hole"
    );
    let numbers = world.played(player).numbers();
    let (old, new): (Vec<u64>, Vec<u64>) = numbers.iter().partition(|number| **number < SECOND);
    assert!(old.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert!(new.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(new[0], SECOND);
    assert_eq!(
        [old, new].concat(),
        numbers,
        "the old stream ends where the new one begins"
    );
}

#[test]
fn takeover_takes_no_longer_than_a_handshake_and_the_delay_stays() {
    let (mut world, _, _, player) = taken_over(second(), &delayed(10));
    let played = world.played(player).played.clone();
    let longest = played
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .max()
        .unwrap();
    assert!(
        longest < Duration::from_millis(60),
        "{longest:?} between two packets"
    );
    let published = world.published(2).published_at[1000];
    let at = played
        .iter()
        .find(|p| p.number == SECOND + 1000)
        .unwrap()
        .at;
    let delay = at.duration_since(published);
    assert!(
        delay.abs_diff(Duration::from_millis(480)) < Duration::from_millis(3),
        "{delay:?}"
    );
}

#[test]
fn losses_of_the_new_publisher_are_repaired_like_any_other() {
    let path = delayed(20).with_loss(0.02);
    let (mut world, _, second, player) = taken_over(second(), &path);
    world.published(second).is_running = false;
    world.run_ms(2000);
    let sent = world.published(second).sent;
    let numbers = world.played(player).numbers();
    let new: Vec<_> = numbers
        .into_iter()
        .filter(|number| *number >= SECOND)
        .collect();
    assert_eq!(new, (SECOND..SECOND + sent).collect::<Vec<_>>());
}

#[test]
fn a_publisher_with_more_latency_raises_the_players() {
    let more = Spec {
        latency_ms: 1000,
        ..second()
    };
    let (mut world, first, _, player) = taken_over(more, &delayed(10));
    assert_eq!(end_to_end_ms(&mut world, first, player, 100), 480);
    let played = *world.played(player).played.last().unwrap();
    let published = world.published(2).published_at[(played.number - SECOND) as usize];
    let delay = played.at.duration_since(published).as_millis();
    assert!(
        (1078..=1083).contains(&delay),
        "{delay} ms for 10 + 1060 + 10"
    );
    assert_eq!(world.played(player).skipped, 0);
}

#[test]
fn a_restarted_encoder_on_the_same_port_takes_over_too() {
    let same_port = Spec {
        addr: Spec::new(1, "").addr,
        ..second()
    };
    let mut world = World::with_session();
    let first = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    world.published(first).is_dead = true;
    world.peers.swap(first, player);
    let (player, _dead) = (first, world.peers.pop());
    let _ = world.publisher(same_port, SECOND, &delayed(5));
    world.run_ms(2000);
    assert!(world.played(player).numbers().last().unwrap() > &SECOND);
    assert_eq!(world.relay.publishers(), 1);
}
