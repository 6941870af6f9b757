//! A node of several relays: each stream is whole on one of them.

use streamhaul_relay_core::{Config, Relay, Shard};

use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{assignment, live, play};
use crate::world::World;

const STREAMS: u8 = 8;

fn world(is_steered: bool) -> World {
    let shard = Shard::new(0, 4).unwrap();
    let mut world = World::with(Config {
        shard,
        ..Config::default()
    });
    world.is_steered = is_steered;
    for session in 1..=STREAMS {
        world.assign(assignment(session));
    }
    world
}

fn relays(world: &World) -> impl Iterator<Item = &Relay> {
    std::iter::once(&world.relay).chain(&world.others)
}

fn stream_to_all(world: &mut World) {
    let mut players = Vec::new();
    for session in 1..=STREAMS {
        world.publisher(Spec::new(session, live(session)), 0, &delayed(5));
    }
    world.run_ms(100);
    for session in 1..=STREAMS {
        players.push(world.player(Spec::new(100 + session, play(session)), &delayed(5)));
    }
    world.run_ms(3000);
    for player in players {
        assert!(matches!(world.state(player), State::Connected { .. }));
        let received = world.played(player).numbers().len();
        assert!(received > 1000, "{received} packets");
    }
}

#[test]
fn publishers_and_players_meet_on_the_relay_of_their_stream() {
    let mut world = world(true);
    stream_to_all(&mut world);
    let used = relays(&world).filter(|relay| relay.publishers() > 0);
    assert!(used.count() >= 2, "the streams are spread");
    for relay in relays(&world) {
        assert_eq!(relay.publishers(), relay.players());
        assert_eq!(
            relay.held().len(),
            usize::from(STREAMS),
            "all know all sessions"
        );
    }
}

#[test]
fn where_the_kernel_cannot_steer_the_relays_do() {
    let mut world = world(false);
    stream_to_all(&mut world);
    assert_eq!(
        world.relay.counters().ingress_datagrams,
        relays(&world)
            .map(|relay| relay.counters().ingress_datagrams)
            .sum::<u64>()
    );
    assert!(
        relays(&world)
            .filter(|relay| relay.publishers() > 0)
            .count()
            >= 2
    );
}

#[test]
fn no_two_relays_give_out_one_socket_id() {
    let mut world = world(true);
    stream_to_all(&mut world);
    let mut ids: Vec<_> = (0..world.peers.len())
        .map(|peer| match world.state(peer) {
            State::Connected { peer, .. } => peer.0,
            other => panic!("{other:?}"),
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * usize::from(STREAMS));
}
