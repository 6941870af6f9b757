//! A publisher that comes over several links.

use std::net::SocketAddr;
use std::time::Duration;

use streamhaul_relay_core::{
    Config, DropReason, Event, GoneReason, Ingress, RefusalReason, Relay, Shard,
};
use testkit::linksim::{Burst, Impairment};

use crate::bond::{link_addr, modem};
use crate::caller::{Caller, Spec, State};
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{assignment, live, play, session_id};
use crate::world::World;

/// Numbers of the second publisher's payloads start here.
const SECOND: u64 = 1_000_000;

pub(crate) fn three_modems() -> [Impairment; 3] {
    [modem(40, 5), modem(90, 10), modem(160, 20)]
}

pub(crate) fn spec(host: u8, stream_id: String) -> Spec {
    Spec {
        latency_ms: 2000,
        ..Spec::new(host, stream_id)
    }
}

/// A bonded publisher over these links and a player, both connected.
pub(crate) fn bonded(links: &[Impairment]) -> (World, usize, usize) {
    let mut world = World::with_session();
    let publisher = world.bonded(spec(1, live(1)), 0, links);
    assert_connected(&world, publisher);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(1000);
    (world, publisher, player)
}

pub(crate) fn assert_connected(world: &World, peer: usize) {
    let state = world.state(peer);
    assert!(matches!(state, State::Connected { .. }), "{state:?}");
}

pub(crate) fn finish(world: &mut World, publisher: usize) {
    world.published(publisher).is_running = false;
    world.run_ms(4000);
}

#[test]
fn three_links_carry_a_stream_that_none_of_them_could() {
    let (mut world, publisher, player) = bonded(&three_modems());
    // 6.2 Mbit/s over modems of 3 Mbit/s.
    world.published(publisher).interval = Duration::from_micros(430);
    world.run_ms(20_000);
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
    assert_eq!(world.relay.links(), 3);
    assert_eq!(world.published(publisher).naks, 0, "overtaking is no loss");
}

#[test]
fn losses_on_a_link_are_repaired_and_attributed() {
    let mut modems = three_modems();
    modems[1].burst = Some(Burst {
        enter: 0.01,
        leave: 0.4,
        loss: 0.8,
    });
    let (mut world, publisher, player) = bonded(&modems);
    world.published(publisher).interval = Duration::from_micros(600);
    world.run_ms(30_000);
    let now = world.now;
    let samples = world.relay.samples(now);
    let lost: Vec<u64> = samples[0].links.iter().map(|l| l.total.lost).collect();
    let truly: Vec<u64> = world
        .bond(publisher)
        .links
        .iter()
        .map(|link| link.up.tally().lost + link.up.tally().overflowed)
        .collect();
    let total: u64 = lost.iter().sum();
    assert_eq!((truly[0], truly[2]), (0, 0));
    assert!(total > 100 && total <= truly[1], "{lost:?} of {truly:?}");
    assert!(lost[1] * 10 > total * 8, "{lost:?} of {truly:?}");
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn every_link_is_sampled() {
    let (mut world, _, _) = bonded(&three_modems());
    world.run_ms(12_000);
    let now = world.now;
    let samples = world.relay.samples(now);
    let links = &samples[0].links;
    assert_eq!(links.len(), 3);
    let share: u32 = links
        .iter()
        .map(|l| l.last_ten_seconds.share_permille)
        .sum();
    assert!((998..=1002).contains(&share), "{links:?}");
    for (place, link) in links.iter().enumerate() {
        assert!((0..3).any(|place| link.address == link_addr(0, place)));
        assert!(link.silent_ms < 1000, "{link:?}");
        assert!(link.last_second.bitrate_bps > 50_000, "{place}: {link:?}");
        assert!(link.jitter_us > 0 && link.relative_delay_us.is_some());
        let claim = link.sender.expect("the sender tells about its links");
        assert!(claim.window > 0 && claim.age_ms <= 1200, "{claim:?}");
    }
    assert!(samples[0].publishing && samples[0].publisher.is_some());
}

#[test]
fn a_plain_publisher_has_no_links() {
    let mut world = World::with_session();
    let _ = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(1000);
    let now = world.now;
    let samples = world.relay.samples(now);
    assert!(samples[0].publishing && samples[0].links.is_empty());
}

#[test]
fn a_link_that_blacks_out_and_returns_costs_nothing() {
    let (mut world, publisher, player) = bonded(&three_modems());
    let now = world.now;
    let span = Duration::from_secs(2)..Duration::from_secs(14);
    world.bond(publisher).black_out(now, 0, span);
    world.run_ms(6000);
    let now = world.now;
    let links = world.relay.samples(now).remove(0).links;
    let silent = links.iter().find(|l| l.address == link_addr(0, 0));
    let silent = silent.expect("it is still shown");
    assert!(silent.silent_ms > 3000 && silent.last_second.bitrate_bps == 0);
    world.run_ms(7500);
    assert_eq!(world.relay.links(), 2, "gone after ten seconds");
    world.run_ms(6000);
    assert_eq!(world.relay.links(), 3);
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn a_link_whose_port_changes_goes_on() {
    let (mut world, publisher, player) = bonded(&three_modems());
    world.bond(publisher).rebind(1, link_addr(0, 9));
    world.run_ms(15_000);
    let now = world.now;
    let links = world.relay.samples(now).remove(0).links;
    let moved = links.iter().find(|l| l.address == link_addr(0, 9));
    assert!(moved.expect("it is a link again").last_second.bitrate_bps > 0);
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn an_answer_that_its_link_loses_comes_over_another() {
    let mut world = World::with_session();
    let publisher = world.bonding(spec(1, live(1)), 0, &three_modems());
    world.published(publisher).caller.asks_once = true;
    while world.relay.publishers() == 0 {
        world.run_ms(1);
    }
    // The answer is under way over one of them; that one fails.
    let downs = world.bond(publisher).links.iter_mut();
    let busy: Vec<usize> = downs
        .enumerate()
        .filter(|(_, link)| link.down.poll_timeout().is_some())
        .map(|(place, _)| place)
        .collect();
    assert_eq!(busy.len(), 1);
    let later = world.now + Duration::from_secs(10);
    let down = &mut world.bond(publisher).links[busy[0]].down;
    while down.poll(later).is_some() {}
    assert!(!matches!(world.state(publisher), State::Connected { .. }));
    world.run_ms(400);
    assert_connected(&world, publisher);
}

#[test]
fn another_encoder_behind_the_same_links_takes_over() {
    let (mut world, publisher, player) = bonded(&three_modems());
    world.run_ms(2000);
    let second = Spec {
        isn: 0x7fff_ff00,
        clock_us: 4_000_000_000,
        ..spec(1, live(1))
    };
    world.replace_encoder(publisher, second, SECOND);
    world.run_ms(6000);
    assert_connected(&world, publisher);
    finish(&mut world, publisher);
    let sent = world.published(publisher).sent;
    let numbers = world.played(player).numbers();
    let new: Vec<u64> = numbers.into_iter().filter(|n| *n >= SECOND).collect();
    assert!(sent > 3000);
    assert_eq!(new, (SECOND..SECOND + sent).collect::<Vec<_>>());
    assert_eq!(world.relay.publishers() + world.relay.groups(), 2);
    let takeover =
        |event: &Event| matches!(event, Event::PublisherConnected { takeover: true, .. });
    assert!(world.events.iter().any(takeover));
}

#[test]
fn another_key_behind_the_same_links_ends_the_first_stream() {
    let (mut world, publisher, _) = bonded(&three_modems());
    world.assign(assignment(2));
    world.replace_encoder(publisher, spec(7, live(2)), SECOND);
    world.run_ms(2000);
    assert_connected(&world, publisher);
    let gone = Event::PublisherGone {
        session: session_id(1),
        reason: GoneReason::TakenOver,
        pulled: false,
    };
    assert!(world.events.contains(&gone), "{:?}", world.events);
    assert_eq!(world.relay.publishers(), 1);
}

#[test]
fn a_plain_publisher_takes_over_from_a_bonded_one_and_back() {
    let (mut world, first, player) = bonded(&three_modems());
    let plain = world.publisher(spec(5, live(1)), SECOND, &delayed(10));
    world.run_ms(4000);
    assert_eq!(world.state(first), State::Closed);
    assert_connected(&world, plain);
    let back = world.bonded(spec(6, live(1)), 2 * SECOND, &three_modems());
    world.run_ms(4000);
    assert_eq!(world.state(plain), State::Closed);
    assert_connected(&world, back);
    finish(&mut world, back);
    let sent = world.published(back).sent;
    assert_connected(&world, player);
    // What was on slower links when another took over.
    let skipped = world.played(player).skipped;
    assert!(skipped < 100, "{skipped}");
    let numbers = world.played(player).numbers();
    assert!(numbers.is_sorted());
    let new: Vec<u64> = numbers.into_iter().filter(|n| *n >= 2 * SECOND).collect();
    assert_eq!(new, (2 * SECOND..2 * SECOND + sent).collect::<Vec<_>>());
}

#[test]
fn a_revoked_publisher_is_told_over_every_link() {
    let (mut world, publisher, _) = bonded(&three_modems());
    let now = world.now;
    let span = Duration::ZERO..Duration::from_secs(60);
    world.bond(publisher).black_out(now, 0, span.clone());
    world.bond(publisher).black_out(now, 1, span);
    world.command(streamhaul_relay_core::Command::Revoke {
        session: session_id(1),
        reason: "test".into(),
    });
    world.run_ms(500);
    assert_eq!(world.state(publisher), State::Closed);
}

#[test]
fn a_wrong_key_closes_the_group_and_its_source_is_kept_out() {
    let mut world = World::with_session();
    let wrong = live(9);
    let guesser = world.bonding(spec(1, wrong.clone()), 0, &[delayed(10)]);
    for round in 0..5 {
        world.replace_encoder(guesser, spec(10 + round, wrong.clone()), 0);
        world.run_ms(12_000);
        assert!(matches!(world.state(guesser), State::Refused(_)), "{round}");
        assert_eq!(world.relay.groups(), u32::from(round < 4), "{round}");
    }
    assert!(world.relay.srtla_counters().sources_blocked >= 1);
    let refused = world.relay.counters().refusals(RefusalReason::UnknownKey);
    assert_eq!(refused, 5);
}

#[test]
fn whoever_guesses_at_one_relay_is_kept_out_of_all() {
    use srtla::packet;
    let (mut world, wrong) = (sharded(true, 0), live(9));
    let guesser = world.bonding(spec(1, wrong.clone()), 0, &[delayed(10)]);
    for round in 0..5 {
        world.replace_encoder(guesser, spec(10 + round, wrong.clone()), 0);
        world.run_ms(12_000);
        assert!(matches!(world.state(guesser), State::Refused(_)), "{round}");
    }
    let another_port = Ingress {
        peer: SocketAddr::from((link_addr(0, 0).ip(), 1)),
        ..stranger(0)
    };
    world.strays.clear();
    for half in 0..4 {
        // Each founds its group on another relay.
        let reg1 = packet::reg1(&[half; packet::ID_LEN]);
        world.inject(another_port, &reg1);
        assert_eq!(world.strays.pop().unwrap(), packet::REG_ERR, "{half}");
        world.inject(stranger(1), &reg1);
        assert_eq!(world.strays.pop().unwrap().len(), packet::REG_LEN);
    }
}

/// Takes a packet out of the first link on its way down.
fn taken_from_link(world: &mut World, peer: usize, is_it: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let later = world.now + Duration::from_secs(10);
    let down = &mut world.bond(peer).links[0].down;
    let mut packets = std::iter::from_fn(|| down.poll(later));
    packets
        .find(|packet| is_it(packet))
        .expect("it is on its way")
}

#[test]
fn a_wrong_key_beside_a_running_stream_leaves_it_alone() {
    let (mut world, publisher, player) = bonded(&three_modems());
    let caller = Caller::new(spec(7, live(9)), 77, world.now);
    let ingress = Ingress {
        peer: link_addr(0, 0),
        local_ip: None,
        socket: 0,
    };
    let induction = caller.induction(world.now);
    world.inject(ingress, &induction);
    let answer = taken_from_link(&mut world, publisher, |packet| packet[..2] == [0x80, 0]);
    let cookie = u32::from_be_bytes(answer[44..48].try_into().unwrap());
    let conclusion = caller.conclusion(world.now, cookie);
    world.inject(ingress, &conclusion);
    let refused = world.relay.counters().refusals(RefusalReason::UnknownKey);
    assert_eq!((refused, world.relay.groups()), (1, 1));
    world.run_ms(3000);
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn nobody_plays_over_a_bond() {
    let mut world = World::with_session();
    let player = world.bonded(spec(1, play(1)), 0, &[delayed(10)]);
    assert!(matches!(world.state(player), State::Refused(_)));
    let refused = world.relay.counters().refusals(RefusalReason::Unsupported);
    assert!(refused >= 1);
}

#[test]
fn a_silent_group_goes_with_what_it_carries() {
    let (mut world, publisher, _) = bonded(&three_modems());
    world.peers[publisher].bond = None;
    world.published(publisher).is_dead = true;
    world.run_ms(9000);
    assert_eq!(world.relay.publishers(), 1);
    world.run_ms(32_000);
    assert_eq!((world.relay.publishers(), world.relay.groups()), (0, 0));
    assert_eq!(world.relay.links(), 0);
    let gone = Event::PublisherGone {
        session: session_id(1),
        reason: GoneReason::TimedOut,
        pulled: false,
    };
    assert!(world.events.contains(&gone));
}

#[test]
fn a_bonded_stream_allocates_nothing() {
    let (mut world, _, _) = bonded(&three_modems());
    // The ring and the queues find their size.
    world.run_ms(8000);
    world.allocations = 0;
    world.run_ms(10_000);
    assert_eq!(world.allocations, 0);
}

pub(crate) fn sharded(is_steered: bool, half: u8) -> World {
    let shard = Shard::new(0, 4).unwrap();
    let mut world = World::with(Config {
        shard,
        ..Config::default()
    });
    world.is_steered = is_steered;
    world.half = half;
    world
}

pub(crate) fn relays(world: &World) -> impl Iterator<Item = &Relay> {
    std::iter::once(&world.relay).chain(&world.others)
}

/// Bonded streams on all relays, whichever their groups were founded on.
fn stream_over_shards(is_steered: bool) {
    let mut homes = 0;
    for half in 0..4 {
        let mut world = sharded(is_steered, half);
        let mut pairs = Vec::new();
        for session in 1..=4 {
            world.assign(assignment(session));
            let publisher = world.bonded(spec(session, live(session)), 0, &three_modems());
            assert_connected(&world, publisher);
            let host = 100 + session;
            pairs.push((
                publisher,
                world.player(Spec::new(host, play(session)), &delayed(5)),
            ));
        }
        world.run_ms(6000);
        for relay in relays(&world) {
            assert_eq!(relay.publishers(), relay.groups(), "each by its stream");
            assert_eq!(relay.links(), 3 * relay.publishers());
        }
        homes += relays(&world).filter(|relay| relay.groups() > 0).count();
        for (publisher, player) in pairs {
            let now = world.now;
            let live = world.bond(publisher).sender.links(now);
            assert!(live.iter().all(|link| link.is_live), "{live:?}");
            finish(&mut world, publisher);
            assert_complete(&mut world, publisher, player);
        }
    }
    assert!(homes > 4, "the streams are spread");
}

#[test]
fn a_group_follows_its_stream_to_another_relay() {
    stream_over_shards(true);
}

#[test]
fn where_the_kernel_cannot_steer_groups_follow_too() {
    stream_over_shards(false);
}

#[test]
fn a_link_that_joins_later_finds_its_group_on_another_relay() {
    for half in 0..4 {
        let mut world = sharded(true, half);
        world.assign(assignment(1));
        let publisher = world.bonding(spec(1, live(1)), 0, &three_modems());
        let now = world.now;
        let span = Duration::ZERO..Duration::from_secs(6);
        world.bond(publisher).black_out(now, 2, span);
        world.run_ms(5000);
        assert_connected(&world, publisher);
        assert_eq!(relays(&world).map(Relay::links).sum::<u32>(), 2);
        world.run_ms(8000);
        let carrier = relays(&world)
            .find(|relay| relay.publishers() == 1)
            .unwrap();
        assert_eq!(carrier.links(), 3);
        assert_eq!(relays(&world).map(Relay::links).sum::<u32>(), 3);
    }
}

#[test]
fn an_encoder_with_another_stream_takes_the_group_along() {
    let mut world = sharded(true, 3);
    for session in 1..=8 {
        world.assign(assignment(session));
    }
    let publisher = world.bonded(spec(1, live(1)), 0, &three_modems());
    for session in 2..=8 {
        world.replace_encoder(publisher, spec(session, live(session)), 0);
        world.run_ms(3000);
        assert_connected(&world, publisher);
        let carried: u32 = relays(&world).map(Relay::publishers).sum();
        let groups: u32 = relays(&world).map(Relay::groups).sum();
        let links: u32 = relays(&world).map(Relay::links).sum();
        assert_eq!((carried, groups, links), (1, 1, 3), "{session}");
    }
}

fn stranger(number: u16) -> Ingress {
    let [high, low] = number.to_be_bytes();
    Ingress {
        peer: SocketAddr::from(([203, 0, high, low], 1)),
        local_ip: None,
        socket: 0,
    }
}

#[test]
fn hostile_srtla_leaves_a_running_group_alone() {
    use srtla::packet;
    let (mut world, publisher, player) = bonded(&three_modems());
    let State::Connected { peer: socket, .. } = world.state(publisher) else {
        panic!("it is connected");
    };
    let link = Ingress {
        peer: link_addr(0, 0),
        ..stranger(0)
    };
    for round in 0..2000_u16 {
        let id = [round as u8; packet::ID_LEN];
        let from = stranger(round);
        world.inject(from, &packet::reg1(&id));
        world.inject(from, &packet::reg2(&id));
        world.inject(from, &packet::keepalive());
        world.inject(from, &packet::REG3);
        world.inject(from, &[0x92, 0x01]);
        // From a link of the group, as if its sender had lost its mind.
        world.inject(link, &packet::reg2(&id));
        let seq = srt::Seq::new(u32::from(round));
        let header = srt::packet::DataHeader::live(seq, 1, srt::Timestamp(0), socket);
        world.inject(from, &header.to_bytes());
        world.run_ms(5);
    }
    let drops = |reason| world.relay.counters().drops(reason);
    assert_eq!(drops(DropReason::SrtlaUnknownLink), 2000);
    assert_eq!(drops(DropReason::SrtlaNotForReceivers), 2000);
    assert_eq!(drops(DropReason::SrtlaMalformed), 2000);
    assert_eq!(drops(DropReason::WrongPeer), 2000);
    assert_eq!((world.relay.groups(), world.relay.links()), (1, 3));
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn one_source_cannot_register_without_end() {
    use srtla::packet;
    let mut world = World::with_session();
    world.strays.clear();
    for _ in 0..1000 {
        world.inject(stranger(1), &packet::reg2(&[7; packet::ID_LEN]));
    }
    assert_eq!(world.strays.len(), 200);
    assert!(world.strays.iter().all(|answer| *answer == packet::REG_NGP));
    assert_eq!(world.relay.counters().drops(DropReason::HandshakeRate), 800);
    world.inject(stranger(2), &packet::reg2(&[7; packet::ID_LEN]));
    assert_eq!(world.strays.len(), 201, "another source has its own");
}
