//! Nothing that comes from the network can make the relay panic, or send more
//! than it got before an address is proven.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use streamhaul_relay_core::Ingress;

use crate::caller::{Caller, Spec, State};
use crate::forwarding::delayed;
use crate::leases::{live, play};
use crate::world::World;

fn stranger(host: u8) -> Ingress {
    Ingress {
        peer: SocketAddr::from(([203, 0, 113, host], 5)),
        local_ip: None,
        socket: 0,
    }
}

/// A relay with a live stream, and the socket ids of its two legs.
fn streaming() -> (World, [usize; 2]) {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(200);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(200);
    (world, [publisher, player])
}

fn socket_id(world: &World, peer: usize) -> [u8; 4] {
    let State::Connected { peer, .. } = world.state(peer) else {
        panic!("not connected")
    };
    peer.0.to_be_bytes()
}

/// Bytes with a header that gets past the first checks.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        any::<u32>(),
        (0u32..9).prop_map(|kind| 0x8000_0000 | kind << 16),
        (0u32..3000),
    ];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0xff]), 0..80),
        prop::collection::vec(any::<u8>(), 1440..1480),
    ];
    (first, any::<u32>(), any::<u32>(), body).prop_map(|(first, second, third, body)| {
        let head = [first, second, third, 0].map(u32::to_be_bytes).concat();
        [head, body].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn strangers_get_no_more_than_they_send(
        datagrams in prop::collection::vec(
            prop_oneof![packet(), prop::collection::vec(any::<u8>(), 0..1500)], 1..20),
    ) {
        let (mut world, _) = streaming();
        for (host, datagram) in datagrams.iter().enumerate() {
            world.strays.clear();
            world.inject(stranger(host as u8), datagram);
            let sent: usize = world.strays.iter().map(Vec::len).sum();
            prop_assert!(sent <= datagram.len());
        }
    }

    #[test]
    fn mutated_handshakes_get_no_more_than_they_are(
        mutations in prop::collection::vec((0usize..200, any::<u8>()), 1..6),
        conclude in any::<bool>(),
        cut in 0usize..200,
    ) {
        let (mut world, _) = streaming();
        let caller = Caller::new(Spec::new(9, live(1)), 9, world.now);
        let mut handshake =
            if conclude { caller.conclusion(world.now, 1) } else { caller.induction(world.now) };
        for (at, byte) in mutations {
            let length = handshake.len();
            handshake[at % length] ^= byte;
        }
        handshake.truncate(handshake.len() - cut.min(handshake.len()));
        world.inject(stranger(1), &handshake);
        let sent: usize = world.strays.iter().map(Vec::len).sum();
        prop_assert!(sent <= handshake.len());
        prop_assert_eq!(world.relay.publishers(), 1);
    }

    #[test]
    fn admitted_peers_cannot_break_it_either(
        packets in prop::collection::vec((packet(), any::<bool>(), 0u64..50), 1..40),
    ) {
        let (mut world, peers) = streaming();
        for peer in peers {
            match &mut world.peers[peer].role {
                crate::world::Role::Publisher(publisher) => publisher.is_dead = true,
                crate::world::Role::Player(player) => player.is_dead = true,
            }
        }
        let ids = peers.map(|peer| socket_id(&world, peer));
        for (mut packet, from_player, wait_ms) in packets {
            let from = usize::from(from_player);
            packet[12..16].copy_from_slice(&ids[from]);
            let ingress = world.ingress(peers[from]);
            world.inject(ingress, &packet);
            world.run(Duration::from_millis(wait_ms));
        }
        world.run(Duration::from_secs(200));
        prop_assert!(world.relay.is_idle(), "all time out in the end");
    }
}

#[test]
fn a_live_stream_does_not_notice_a_storm() {
    let (mut world, [publisher, player]) = streaming();
    let mut random = testkit::random::Random::new(7);
    let mut datagram = [0; 600];
    for round in 0..20_000u32 {
        random.fill(&mut datagram);
        let length = random.below(600) as usize;
        world.inject(stranger(round as u8), &datagram[..length]);
        if round % 20 == 0 {
            world.run_ms(1);
        }
    }
    world.published(publisher).is_running = false;
    world.run_ms(1000);
    crate::forwarding::assert_complete(&mut world, publisher, player);
    let counters = world.relay.counters();
    assert!(counters.drops_total() >= 19_000);
}
