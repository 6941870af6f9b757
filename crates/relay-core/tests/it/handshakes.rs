//! Handshakes that are lost, repeated, late or too many.

use streamhaul_relay_core::{DropReason, Ingress};

use crate::caller::{Caller, Spec, State};
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{live, play};
use crate::world::World;

#[test]
fn connections_come_about_over_paths_that_lose_half_of_everything() {
    let mut world = World::with_session();
    let bad = delayed(20).with_loss(0.5);
    let publisher = world.publisher(
        Spec {
            latency_ms: 1000,
            ..Spec::new(1, live(1))
        },
        0,
        &bad,
    );
    world.run_ms(4000);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
    let player = world.player(Spec::new(2, play(1)), &bad);
    world.run_ms(4000);
    assert!(matches!(world.state(player), State::Connected { .. }));
    assert_eq!((world.relay.publishers(), world.relay.players()), (1, 1));
}

#[test]
fn half_a_second_of_round_trip_makes_one_connection() {
    let mut world = World::with_session();
    let far = delayed(250);
    let publisher = world.publisher(
        Spec {
            latency_ms: 2000,
            ..Spec::new(1, live(1))
        },
        0,
        &far,
    );
    world.run_ms(3000);
    let player = world.player(Spec::new(2, play(1)), &far);
    world.run_ms(8000);
    assert_eq!((world.relay.publishers(), world.relay.players()), (1, 1));
    assert_eq!(
        world.events.len(),
        2,
        "the repeated conclusions made nothing"
    );
    assert!(world.relay.counters().ingress_datagrams > 6);
    world.published(publisher).is_running = false;
    world.run_ms(4000);
    assert_complete(&mut world, publisher, player);
}

/// The cookie that the relay gives to this caller.
fn cookie_of(world: &mut World, caller: &Caller) -> u32 {
    let ingress = Ingress {
        peer: caller.spec.addr,
        local_ip: None,
        socket: 0,
    };
    let induction = caller.induction(world.now);
    world.inject(ingress, &induction);
    let reply = world.strays.pop().expect("an induction reply");
    u32::from_be_bytes(reply[44..48].try_into().unwrap())
}

#[test]
fn a_repeated_conclusion_gets_the_same_answer_with_the_time_of_now() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let caller = Caller::new(Spec::new(7, play(1)), 77, world.now);
    let cookie = cookie_of(&mut world, &caller);
    let ingress = Ingress {
        peer: caller.spec.addr,
        local_ip: None,
        socket: 0,
    };
    let conclusion = caller.conclusion(world.now, cookie);
    world.inject(ingress, &conclusion);
    let first = world.strays.pop().unwrap();
    world.published(publisher).is_running = false;
    world.run_ms(100);
    world.strays.clear();
    world.inject(ingress, &conclusion);
    let second = world.strays.pop().unwrap();
    assert_eq!(world.relay.players(), 1);
    assert_eq!(first[16..], second[16..]);
    let timestamp = |packet: &[u8]| u32::from_be_bytes(packet[8..12].try_into().unwrap());
    assert_eq!(timestamp(&second) - timestamp(&first), 100_000);
}

#[test]
fn a_conclusion_of_a_connection_that_has_ended_is_not_believed() {
    let mut world = World::with_session();
    let caller = Caller::new(Spec::new(7, live(1)), 77, world.now);
    let cookie = cookie_of(&mut world, &caller);
    let ingress = Ingress {
        peer: caller.spec.addr,
        local_ip: None,
        socket: 0,
    };
    let conclusion = caller.conclusion(world.now, cookie);
    world.inject(ingress, &conclusion);
    let successor = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    world.inject(ingress, &conclusion);
    assert_eq!(world.relay.counters().drops(DropReason::StaleHandshake), 1);
    world.run_ms(500);
    assert!(matches!(world.state(successor), State::Connected { .. }));
}

#[test]
fn a_cookie_of_nobody_or_of_long_ago_gets_no_answer() {
    let mut world = World::with_session();
    let caller = Caller::new(Spec::new(7, live(1)), 77, world.now);
    let cookie = cookie_of(&mut world, &caller);
    let ingress = Ingress {
        peer: caller.spec.addr,
        local_ip: None,
        socket: 0,
    };
    let forged = caller.conclusion(world.now, cookie ^ 1);
    world.inject(ingress, &forged);
    world.run_ms(130_000);
    let late = caller.conclusion(world.now, cookie);
    world.inject(ingress, &late);
    assert_eq!(world.relay.counters().drops(DropReason::BadCookie), 2);
    assert!(world.strays.is_empty());
}

#[test]
fn one_source_cannot_ask_without_end() {
    let mut world = World::with_session();
    let caller = Caller::new(Spec::new(7, "live_wrong"), 77, world.now);
    let cookie = cookie_of(&mut world, &caller);
    let ingress = Ingress {
        peer: caller.spec.addr,
        local_ip: None,
        socket: 0,
    };
    let conclusion = caller.conclusion(world.now, cookie);
    for _ in 0..100 {
        world.inject(ingress, &conclusion);
    }
    assert_eq!(world.strays.len(), 20);
    assert_eq!(world.relay.counters().drops(DropReason::HandshakeRate), 80);
    let other = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(other), State::Connected { .. }));
}

#[test]
fn packets_from_elsewhere_do_nothing_to_a_connection() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(500);
    let now = world.now;
    let mut forged = vec![0; 64];
    let header = world.published(publisher).caller.header(now).unwrap();
    let length = srt::packet::build::shutdown(&mut forged, header);
    let ingress = Ingress {
        peer: Spec::new(66, "").addr,
        local_ip: None,
        socket: 0,
    };
    world.inject(ingress, &forged[..length]);
    assert_eq!(world.relay.counters().drops(DropReason::WrongPeer), 1);
    world.run_ms(100);
    assert_eq!(world.relay.publishers(), 1);
}
