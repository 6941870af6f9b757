//! A slow or vanished player costs nobody else anything.

use streamhaul_relay_core::{Config, DropReason, Event, GoneReason, Limits};
use testkit::linksim::{Bottleneck, Impairment};

use crate::caller::{Spec, State};
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{assignment, live, play};
use crate::world::World;

#[test]
fn the_others_get_everything() {
    let mut world = World::with_session();
    let publisher = world.publisher(
        Spec {
            latency_ms: 400,
            ..Spec::new(1, live(1))
        },
        0,
        &delayed(5),
    );
    world.run_ms(500);
    let good = world.player(Spec::new(2, play(1)), &delayed(5));
    // Half of what the stream needs.
    let bottleneck = Some(Bottleneck {
        rate_bps: 750_000,
        queue_bytes_max: 20_000,
    });
    let slow = world.player(
        Spec::new(3, play(1)),
        &Impairment {
            bottleneck,
            ..delayed(5)
        },
    );
    let vanished = world.player(Spec::new(4, play(1)), &delayed(5));
    world.run_ms(2000);
    world.played(vanished).is_dead = true;
    world.run_ms(15_000);
    world.published(publisher).is_running = false;
    world.run_ms(3000);
    assert_complete(&mut world, publisher, good);
    assert_eq!(world.played(good).retransmitted, 0);
    assert!(matches!(world.state(slow), State::Connected { .. }));
    let gone = |event: &&Event| {
        matches!(
            event,
            Event::PlayerGone {
                reason: GoneReason::TimedOut,
                ..
            }
        )
    };
    assert_eq!(world.events.iter().filter(gone).count(), 1);
    assert_eq!(world.relay.players(), 2);
    assert_eq!(world.published(publisher).naks, 0);
}

#[test]
fn a_hungry_player_cannot_make_the_node_send_without_end() {
    let mut world = World::with_session();
    let _ = world.publisher(
        Spec {
            latency_ms: 2000,
            ..Spec::new(1, live(1))
        },
        0,
        &delayed(1),
    );
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(3000);
    let now = world.now;
    let caller = &world.played(player).caller;
    let (header, isn) = (caller.header(now).unwrap(), caller.isn());
    let ingress = world.ingress(player);
    world.played(player).is_dead = true;
    let before = world.relay.counters().egress_datagrams;
    let mut buffer = [0; 256];
    let range = srt::SeqRange::new(isn, isn.add(1600)).unwrap();
    let length = srt::packet::build::nak(&mut buffer, header, [range]);
    for _ in 0..1000 {
        world.inject(ingress, &buffer[..length]);
        world.run_ms(1);
    }
    let sent = world.relay.counters().egress_datagrams - before;
    assert!(
        sent < 2048 + 1000 + 1000 * 2,
        "{sent} datagrams in a second"
    );
}

#[test]
fn what_one_player_asks_for_again_drops_nothing_of_the_others() {
    let mut world = World::with(Config {
        limits: Limits {
            transmit_bytes_max: 64 << 10,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.assign(assignment(1));
    let publisher = world.publisher(
        Spec {
            latency_ms: 2000,
            ..Spec::new(1, live(1))
        },
        0,
        &delayed(1),
    );
    world.run_ms(500);
    let hungry = world.player(Spec::new(2, play(1)), &delayed(1));
    let good = world.player(Spec::new(3, play(1)), &delayed(1));
    world.run_ms(3000);
    let now = world.now;
    let caller = &world.played(hungry).caller;
    let (header, isn) = (caller.header(now).unwrap(), caller.isn());
    let ingress = world.ingress(hungry);
    world.played(hungry).is_dead = true;
    let mut buffer = [0; 256];
    let range = srt::SeqRange::new(isn, isn.add(1600)).unwrap();
    let length = srt::packet::build::nak(&mut buffer, header, [range]);
    let before = world.relay.counters().egress_datagrams;
    for _ in 0..500 {
        world.inject(ingress, &buffer[..length]);
        world.run_ms(1);
    }
    assert!(world.relay.counters().egress_datagrams - before > 2000);
    assert_eq!(world.relay.counters().drops(DropReason::TransmitFull), 0);
    world.published(publisher).is_running = false;
    world.run_ms(3000);
    assert_complete(&mut world, publisher, good);
    assert_eq!(world.played(good).retransmitted, 0);
}
