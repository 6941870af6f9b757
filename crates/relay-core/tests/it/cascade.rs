//! A stream through two nodes: one calls the other, and nothing is lost.

use std::time::{Duration, Instant};

use streamhaul_relay_core::{Command, Config, GoneReason, Shard};
use testkit::linksim::Impairment;

use crate::caller::Spec;
use crate::fleet::{Fleet, remote};
use crate::leases::{assignment, live, play, session_id};

const MARGIN_MS: u64 = 60;

/// Publisher → node 0 → node 1 → player, where node 1 pulls.
fn pulled(publisher: Spec, middle: &Impairment) -> (Fleet, usize, usize) {
    let mut fleet = Fleet::new(2);
    fleet.impair(0, 1, middle);
    fleet.assign(0, assignment(1));
    let publisher = fleet.publisher(0, publisher);
    fleet.run_s(1);
    let mut relayed = assignment(2);
    relayed.pull = Some(remote(0, &play(1)));
    fleet.assign(1, relayed);
    fleet.run_s(1);
    let player = fleet.player(1, Spec::new(2, play(2)));
    fleet.run_s(1);
    (fleet, publisher, player)
}

/// Publisher → node 0 → node 1 → player, where node 0 pushes.
fn pushed(publisher: Spec, middle: &Impairment) -> (Fleet, usize, usize) {
    let mut fleet = Fleet::new(2);
    fleet.impair(0, 1, middle);
    let mut sent_on = assignment(1);
    sent_on.push = vec![remote(1, &live(2))];
    fleet.assign(0, sent_on);
    fleet.assign(1, assignment(2));
    let publisher = fleet.publisher(0, publisher);
    fleet.run_s(2);
    let player = fleet.player(1, Spec::new(2, play(2)));
    fleet.run_s(1);
    (fleet, publisher, player)
}

fn patient(latency_ms: u16) -> Spec {
    Spec {
        latency_ms,
        ..Spec::new(1, live(1))
    }
}

/// Asserts that the player got every packet of the last stretch, in order, and
/// the whole way took `delay` and the player's latency.
fn assert_whole(fleet: &mut Fleet, publisher: usize, player: usize, delay: Duration) {
    let published_at: Vec<Instant> = fleet.published(publisher).published_at.clone();
    let played = fleet.played(player);
    let numbers = played.numbers();
    let first = numbers[0];
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    assert_eq!(played.skipped, 0);
    let budget = delay + played.latency();
    for packet in &played.played {
        let took = packet.at - published_at[packet.number as usize];
        let late = took.abs_diff(budget);
        assert!(late < Duration::from_millis(3), "{took:?}, not {budget:?}");
    }
}

#[test]
fn a_pulled_stream_arrives_whole_and_in_time() {
    let delay = Duration::from_millis(20);
    let (mut fleet, publisher, player) = pulled(patient(200), &Impairment::delayed(delay));
    fleet.run_s(30);
    assert!(fleet.played(player).played.len() > 15_000);
    // Each leg's margin is on top of what the publisher asked for.
    let latency = fleet.played(player).latency();
    assert_eq!(latency, Duration::from_millis(200 + 2 * MARGIN_MS));
    assert_whole(&mut fleet, publisher, player, delay);
}

#[test]
fn a_pushed_stream_arrives_whole_and_in_time() {
    let delay = Duration::from_millis(20);
    let (mut fleet, publisher, player) = pushed(patient(200), &Impairment::delayed(delay));
    fleet.run_s(30);
    assert!(fleet.played(player).played.len() > 15_000);
    let latency = fleet.played(player).latency();
    assert_eq!(latency, Duration::from_millis(200 + 2 * MARGIN_MS));
    assert_whole(&mut fleet, publisher, player, delay);
}

#[test]
fn loss_between_the_nodes_is_repaired_between_them() {
    for make in [pulled, pushed] {
        let lossy = Impairment::delayed(Duration::from_millis(20)).with_loss(0.05);
        let (mut fleet, publisher, player) = make(patient(400), &lossy);
        fleet.run_s(30);
        let played = fleet.played(player);
        let numbers = played.numbers();
        let expected: Vec<u64> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
        assert_eq!(numbers, expected);
        assert_eq!(played.skipped, 0);
        assert!(played.played.len() > 15_000);
        assert_eq!(fleet.published(publisher).naks, 0, "its own path is clean");
    }
}

#[test]
fn the_handshake_survives_loss() {
    for make in [pulled, pushed] {
        let lossy = Impairment::delayed(Duration::from_millis(100)).with_loss(0.3);
        let (mut fleet, _, player) = make(patient(2000), &lossy);
        fleet.run_s(60);
        assert!(fleet.played(player).played.len() > 10_000);
    }
}

#[test]
fn a_restart_of_the_first_node_is_a_gap_and_no_more() {
    for tells in [true, false] {
        let (mut fleet, publisher, player) = pulled(patient(200), &Impairment::default());
        fleet.run_s(5);
        if tells {
            let revoke = Command::Revoke {
                session: session_id(1),
                reason: "node_stopping".into(),
            };
            fleet.command(0, revoke);
        }
        fleet.restart(0);
        fleet.run_s(2);
        fleet.assign(0, assignment(1));
        fleet.published(publisher).is_dead = true;
        let before = fleet.played(player).played.len();
        let returned = fleet.publisher(
            0,
            Spec {
                isn: 77_777,
                clock_us: 900_000_000,
                ..Spec::new(9, live(1))
            },
        );
        fleet.run_s(40);
        let gone = if tells {
            GoneReason::Closed
        } else {
            GoneReason::TimedOut
        };
        assert_eq!(fleet.publishers_gone(1), [gone]);
        let fresh = fleet.published(returned).sent as usize;
        let numbers = fleet.played(player).numbers().split_off(before);
        assert!(numbers.len() > fresh / 2, "{} of {fresh}", numbers.len());
        // What comes then is the new publisher's, whole, and nothing of the old.
        let start = numbers.windows(2).position(|two| two[1] < two[0]);
        let fresh = start.map_or(&numbers[..], |start| &numbers[start + 1..]);
        assert!(fresh.windows(2).all(|two| two[1] == two[0] + 1));
        let newest = fleet.published(returned).sent - 1;
        let behind = newest - numbers.last().unwrap();
        assert!(behind < 1000, "the player is {behind} packets behind");
    }
}

#[test]
fn a_publisher_takes_over_from_a_pull_and_gives_it_back() {
    let (mut fleet, _, player) = pulled(patient(200), &Impairment::default());
    fleet.run_s(5);
    let nearer = fleet.publisher(1, Spec::new(5, live(2)));
    fleet.run_s(60);
    let calls = fleet.nodes[1].lookups.len();
    assert_eq!(calls, 1, "nobody is called while somebody publishes");
    let played = fleet.played(player).played.len();
    let bye = {
        let now = fleet.now;
        fleet.published(nearer).shutdown(now)
    };
    let from = fleet.published(nearer).caller.spec.addr;
    fleet.inject(1, from, &bye);
    fleet.run_s(5);
    assert_eq!(fleet.nodes[1].lookups.len(), 2);
    assert!(fleet.played(player).played.len() > played + 1000);
    assert_eq!(fleet.publishers_gone(1), [GoneReason::Closed]);
}

#[test]
fn another_pull_takes_over_before_the_first_is_let_go() {
    let (mut fleet, publisher, player) = pulled(patient(200), &Impairment::default());
    // A second relay beside the first: node 0 publishes stream 3, too.
    let mut aside = assignment(3);
    aside.pull = Some(remote(0, &play(1)));
    fleet.assign(0, aside);
    fleet.run_s(5);
    let before = fleet.played(player).played.len();
    let mut moved = assignment(2);
    moved.pull = Some(remote(0, &play(3)));
    fleet.assign(1, moved);
    fleet.run_s(10);
    assert_eq!(
        fleet.publishers_gone(1),
        [],
        "the first was replaced, not lost"
    );
    let numbers = fleet.played(player).numbers();
    assert!(numbers.len() > before + 4000);
    let missing = numbers.windows(2).filter(|two| two[1] != two[0] + 1);
    let jump = missing.map(|two| two[1].abs_diff(two[0])).sum::<u64>();
    assert!(jump < 200, "{jump} packets at the change");
    assert!(fleet.published(publisher).sent > 0);
}

#[test]
fn a_push_lives_with_its_stream() {
    let mut fleet = Fleet::new(2);
    let mut sent_on = assignment(1);
    sent_on.push = vec![remote(1, &live(2))];
    fleet.assign(0, sent_on);
    fleet.assign(1, assignment(2));
    fleet.run_s(60);
    assert_eq!(fleet.nodes[0].lookups.len(), 0, "there is nothing to push");
    let publisher = fleet.publisher(0, patient(200));
    fleet.run_s(2);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1);
    fleet.published(publisher).is_dead = true;
    // The publisher is missed after ten seconds and waited for two minutes.
    fleet.run_s(60);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1, "players are held");
    fleet.run_s(120);
    assert_eq!(fleet.publishers_gone(1), [GoneReason::Closed]);
    fleet.publisher(0, Spec::new(7, live(1)));
    fleet.run_s(30);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1);
    let samples = fleet.nodes[0].relay.samples(fleet.now);
    assert_eq!(samples[0].players.len(), 1);
}

/// Both nodes have several relays, and no kernel that steers: what is not for
/// the first relay's streams and calls is handed over, answers to calls too.
#[test]
fn remotes_reach_the_relay_of_their_stream() {
    const STREAMS: u8 = 8;
    for is_pulled in [true, false] {
        let mut fleet = Fleet::with(
            2,
            Config {
                shard: Shard::new(0, 4).unwrap(),
                ..Config::default()
            },
        );
        for stream in 1..=STREAMS {
            let (mut first, mut second) = (assignment(stream), assignment(100 + stream));
            if is_pulled {
                second.pull = Some(remote(0, &play(stream)));
            } else {
                first.push = vec![remote(1, &live(100 + stream))];
            }
            fleet.assign(0, first);
            fleet.assign(1, second);
            fleet.publisher(0, Spec::new(stream, live(stream)));
        }
        // A pull that came before its publisher is tried again.
        fleet.run_s(5);
        let players: Vec<_> = (1..=STREAMS)
            .map(|stream| fleet.player(1, Spec::new(100 + stream, play(100 + stream))))
            .collect();
        fleet.run_s(3);
        for player in players {
            let numbers = fleet.played(player).numbers();
            assert!(numbers.len() > 1000, "{} packets", numbers.len());
            assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1));
        }
        let caller = &fleet.nodes[usize::from(is_pulled)];
        let used = caller.relays().filter(|relay| relay.publishers() > 0);
        assert!(used.count() >= 2, "the calls are spread");
        for relay in caller.relays().skip(1) {
            assert_eq!(relay.counters().ingress_datagrams, 0);
        }
    }
}
