//! What a lease bounds: rate and bytes; and what the node bounds: callers.

use model::session::Role;
use streamhaul_relay_core::{
    Config, DropReason, Event, GoneReason, Limits, PortRole, RefusalReason,
};

use crate::caller::{Spec, State};
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{assignment, assignment_with, claims, live, play, sign};
use crate::world::World;

/// A data packet of the simulated publisher, with its header.
const DATAGRAM: u64 = 316;
/// Such packets a second.
const PACKETS_PER_SECOND: u64 = 571;

fn limited(change: impl Fn(&mut lease::Claims)) -> World {
    let mut world = World::new();
    world.assign(assignment_with(1, change));
    world
}

fn gone(world: &World) -> Vec<GoneReason> {
    let reason = |event: &Event| match event {
        Event::PublisherGone { reason, .. } | Event::PlayerGone { reason, .. } => Some(*reason),
        _ => None,
    };
    world.events.iter().filter_map(reason).collect()
}

#[test]
fn a_publisher_within_its_rate_loses_nothing() {
    let bps = PACKETS_PER_SECOND * DATAGRAM * 8 + 1000;
    let mut world = limited(|claims| claims.rate_bps_max = Some(bps));
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(60_000);
    world.published(publisher).is_running = false;
    world.run_ms(1000);
    assert_complete(&mut world, publisher, player);
    assert_eq!(world.relay.counters().drops(DropReason::RateLimit), 0);
}

#[test]
fn a_publisher_over_its_rate_loses_the_excess_and_is_asked_for_nothing() {
    let packets_per_second = PACKETS_PER_SECOND / 2;
    let bps = packets_per_second * DATAGRAM * 8;
    let mut world = limited(|claims| claims.rate_bps_max = Some(bps));
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(20_000);
    let played = world.played(player).played.clone();
    let last_second = world.now - std::time::Duration::from_secs(10);
    let late = played.iter().filter(|played| played.at >= last_second);
    let per_second = late.count() as u64 / 10;
    assert!(
        per_second.abs_diff(packets_per_second) <= 3,
        "{per_second} packets a second instead of {packets_per_second}"
    );
    let longest = played.windows(2).map(|pair| pair[1].at - pair[0].at).max();
    assert!(
        longest.unwrap() < std::time::Duration::from_millis(20),
        "no stall: {longest:?}"
    );
    assert_eq!(world.published(publisher).naks, 0);
    assert_eq!(world.published(publisher).retransmitted, 0);
    assert_eq!(world.played(player).retransmitted, 0);
    let dropped = world.relay.counters().drops(DropReason::RateLimit);
    assert!(dropped > 19 * packets_per_second, "{dropped} dropped");
}

#[test]
fn losses_are_repaired_and_do_not_loop_over_the_rate() {
    let bps = PACKETS_PER_SECOND / 2 * DATAGRAM * 8;
    let mut world = limited(|claims| claims.rate_bps_max = Some(bps));
    let lossy = delayed(20).with_loss(0.05);
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &lossy);
    world.run_ms(500);
    let _ = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(20_000);
    let lost = world.peers[publisher].up.tally().lost;
    let again = world.published(publisher).retransmitted;
    assert!(again < lost * 2, "{again} sent again for {lost} lost");
}

#[test]
fn a_takeover_brings_no_new_burst() {
    let bps = PACKETS_PER_SECOND / 2 * DATAGRAM * 8;
    let mut world = limited(|claims| claims.rate_bps_max = Some(bps));
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(10_000);
    let before = world.relay.counters().drops(DropReason::RateLimit);
    let _ = world.publisher(Spec::new(3, live(1)), 0, &delayed(1));
    world.run_ms(1000);
    let dropped = world.relay.counters().drops(DropReason::RateLimit) - before;
    assert!(dropped > PACKETS_PER_SECOND / 2 - 20, "{dropped} dropped");
}

#[test]
fn a_renewed_lease_changes_the_rate_of_a_live_publisher() {
    let mut world = limited(|claims| claims.rate_bps_max = Some(80_000));
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(5000);
    world.assign(assignment(1));
    let before = world.relay.counters().drops(DropReason::RateLimit);
    assert!(before > 1000);
    world.run_ms(5000);
    assert_eq!(world.relay.counters().drops(DropReason::RateLimit), before);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
}

#[test]
fn a_publisher_whose_bytes_are_used_up_is_cut_and_refused_however_it_returns() {
    let bytes_max = 3000 * DATAGRAM + 10;
    let bound = |role: Role| {
        move |claims: &mut lease::Claims| {
            claims.bytes_max = (claims.role == role).then_some(bytes_max);
        }
    };
    let mut world = limited(bound(Role::Publish));
    let first = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(2000);
    let now = world.now;
    let bye = world.published(first).shutdown(now);
    world.inject(world.ingress(first), &bye);
    let second = world.publisher(Spec::new(3, live(1)), 0, &delayed(1));
    world.run_ms(10_000);
    assert_eq!(world.state(second), State::Closed);
    assert_eq!(gone(&world), [GoneReason::Closed, GoneReason::BytesUsed]);
    assert_eq!(world.relay.counters().drops(DropReason::BytesUsed), 1);
    let third = world.publisher(Spec::new(4, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(third), State::Refused(_)));
    assert_eq!(world.relay.counters().refusals(RefusalReason::BytesUsed), 1);
    world.assign(assignment_with(1, |claims| {
        claims.bytes_max = Some(2 * bytes_max);
    }));
    let fourth = world.publisher(Spec::new(5, live(1)), 0, &delayed(1));
    world.run_ms(1000);
    assert!(matches!(world.state(fourth), State::Connected { .. }));
}

#[test]
fn the_players_of_a_session_share_its_bytes() {
    let bytes_max = 4000 * DATAGRAM;
    let mut world = limited(|claims| {
        claims.bytes_max = (claims.role == Role::Play).then_some(bytes_max);
    });
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(200);
    let players = [2, 3].map(|host| world.player(Spec::new(host, play(1)), &delayed(1)));
    world.run_ms(10_000);
    let got: u64 = players.iter().map(|p| world.played(*p).arrivals).sum();
    assert_eq!(got, 4000);
    for player in players {
        assert_eq!(world.state(player), State::Closed);
    }
    assert_eq!(gone(&world), [GoneReason::BytesUsed; 2]);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
}

#[test]
fn a_callers_own_lease_counts_on_when_it_calls_again() {
    let mut world = World::new();
    let mut own = claims(1, 1, Role::Publish, 1000);
    own.bytes_max = Some(1000 * DATAGRAM);
    let token = sign(&own);
    let first = world.publisher(Spec::new(1, token.clone()), 0, &delayed(1));
    world.run_ms(1000);
    let now = world.now;
    let bye = world.published(first).shutdown(now);
    world.inject(world.ingress(first), &bye);
    assert!(world.relay.held().is_empty(), "the session went with it");
    let second = world.publisher(Spec::new(3, token), 0, &delayed(1));
    world.run_ms(1500);
    assert_eq!(world.state(second), State::Closed);
    assert!(world.published(second).sent < 600);
}

fn node(limits: Limits) -> World {
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    for session in 1..=4 {
        world.assign(assignment(session));
    }
    world
}

fn from_port(spec: Spec, port: u16) -> Spec {
    let addr = std::net::SocketAddr::new(Spec::new(1, "").addr.ip(), port);
    Spec { addr, ..spec }
}

#[test]
fn one_source_has_so_many_connections_and_another_has_its_own() {
    let mut world = node(Limits {
        connections_per_source_max: 2,
        ..Limits::default()
    });
    let first = world.publisher(from_port(Spec::new(1, live(1)), 1), 0, &delayed(1));
    let _ = world.publisher(from_port(Spec::new(2, live(2)), 2), 0, &delayed(1));
    world.run_ms(100);
    let third = world.publisher(from_port(Spec::new(3, live(3)), 3), 0, &delayed(1));
    let elsewhere = world.publisher(Spec::new(4, live(3)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(third), State::Refused(_)));
    assert_eq!(
        world.relay.counters().refusals(RefusalReason::SourceFull),
        1
    );
    assert!(matches!(world.state(elsewhere), State::Connected { .. }));
    // What runs already is no new session, even from a full source.
    let again = world.publisher(from_port(Spec::new(5, live(1)), 5), 0, &delayed(1));
    world.run_ms(100);
    assert_eq!(world.state(first), State::Closed);
    assert!(matches!(world.state(again), State::Connected { .. }));
    let player = world.player(from_port(Spec::new(6, play(1)), 6), &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(player), State::Refused(_)));
    for peer in [again, elsewhere] {
        let now = world.now;
        let bye = world.published(peer).shutdown(now);
        world.inject(world.ingress(peer), &bye);
    }
    let free = world.publisher(from_port(Spec::new(7, live(4)), 7), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(free), State::Connected { .. }));
}

#[test]
fn a_publisher_returns_to_a_full_node() {
    let mut world = node(Limits {
        connections_max: 2,
        ..Limits::default()
    });
    let first = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    let _ = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(100);
    let now = world.now;
    let bye = world.published(first).shutdown(now);
    world.inject(world.ingress(first), &bye);
    let _ = world.player(Spec::new(3, play(1)), &delayed(1));
    world.run_ms(100);
    let back = world.publisher(Spec::new(4, live(1)), 0, &delayed(1));
    let new = world.publisher(Spec::new(5, live(2)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(back), State::Connected { .. }));
    assert!(matches!(world.state(new), State::Refused(_)));
}

#[test]
fn callers_with_their_own_leases_cannot_keep_the_node_busy() {
    let mut world = node(Limits {
        lease_checks_per_second_max: 3,
        ..Limits::default()
    });
    let token = sign(&claims(9, 9, Role::Publish, 1000));
    let callers: Vec<_> = (10..15)
        .map(|host| world.publisher(Spec::new(host, token.clone()), 0, &delayed(1)))
        .collect();
    world.run_ms(100);
    let refused = |peer: &&usize| matches!(world.state(**peer), State::Refused(_));
    assert_eq!(callers.iter().filter(refused).count(), 2);
    assert_eq!(world.relay.counters().refusals(RefusalReason::Busy), 2);
    let known = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert!(
        matches!(world.state(known), State::Connected { .. }),
        "a stream key needs no check"
    );
}

#[test]
fn a_source_that_floods_uses_up_nothing_of_the_others() {
    let mut world = node(Limits {
        inductions_per_second_max: 50,
        inductions_per_source_max: 10,
        ..Limits::default()
    });
    let flooder = crate::caller::Caller::new(Spec::new(66, ""), 77, world.now);
    let induction = flooder.induction(world.now);
    let ingress = streamhaul_relay_core::Ingress {
        peer: flooder.spec.addr,
        local_ip: None,
        socket: 0,
    };
    for _ in 0..1000 {
        world.inject(ingress, &induction);
    }
    assert_eq!(world.relay.counters().drops(DropReason::HandshakeRate), 990);
    assert_eq!(world.strays.len(), 10);
    let other = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(other), State::Connected { .. }));
}

#[test]
fn a_wrong_role_is_a_wrong_role_on_a_full_node_too() {
    let limits = Limits {
        sessions_max: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        sockets: vec![PortRole::Play],
        ..Config::default()
    });
    world.assign(assignment(1));
    let token = sign(&claims(2, 2, Role::Publish, 1000));
    let caller = world.publisher(Spec::new(1, token), 0, &delayed(1));
    world.run_ms(100);
    assert!(matches!(world.state(caller), State::Refused(_)));
    assert_eq!(world.relay.counters().refusals(RefusalReason::WrongRole), 1);
}

#[test]
fn a_lease_that_no_longer_covers_a_role_ends_its_connections() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    let player = world.player(Spec::new(2, play(1)), &delayed(1));
    world.run_ms(100);
    let mut publish_only = assignment(1);
    publish_only.play = None;
    world.assign(publish_only);
    world.run_ms(10);
    assert_eq!(world.state(player), State::Closed);
    assert!(matches!(world.state(publisher), State::Connected { .. }));
}

#[test]
fn everybody_may_end_at_once_and_it_is_done_in_turns() {
    let mut world = World::with(Config {
        limits: Limits {
            players_per_stream_max: 1000,
            connections_per_source_max: 1000,
            handshakes_per_second_max: 1000,
            inductions_per_source_max: 1000,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.assign(crate::leases::assignment_for(1, 1, 20));
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(1));
    world.run_ms(100);
    for port in 1..=600 {
        world.player(from_port(Spec::new(2, play(1)), port), &delayed(1));
    }
    world.run_ms(1000);
    assert_eq!(world.relay.players(), 600);
    let end = world.now + std::time::Duration::from_secs(60);
    world.relay.handle_timeout(end);
    let left = world.relay.players();
    assert!(
        (50..=400).contains(&left),
        "{left} players left after a turn"
    );
    while world.relay.poll_timeout().is_some_and(|at| at <= end) {
        world.relay.handle_timeout(end);
    }
    assert!(world.relay.is_idle());
}
