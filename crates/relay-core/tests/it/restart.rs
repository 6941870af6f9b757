//! What a restart of the node costs: with what the last process saved, next to
//! nothing; without, a new registration and a new call.

use std::time::Duration;

use model::settings::Encryption;
use streamhaul_relay_core::{Command, Config, DropReason, Event, GoneReason, Relay, Saved};

use crate::bonding::{assert_connected, bonded, finish, relays, sharded, spec, three_modems};
use crate::caller::{Spec, State};
use crate::encryption;
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{assignment, grant, live, play, session_id};
use crate::world::World;

/// Numbers of the second publisher's payloads start here.
const SECOND: u64 = 1_000_000;

/// The process is killed: the last it saved is a second old. The next one runs
/// after `down_ms`.
fn kill(world: &mut World, down_ms: u64) -> Vec<Saved> {
    let saved = world.save();
    world.run_ms(1000);
    world.is_down = true;
    world.restart(&[]);
    world.run_ms(down_ms);
    world.is_down = false;
    saved
}

#[test]
fn a_bonded_stream_outlives_a_killed_node_without_a_packet_lost() {
    let (mut world, publisher, player) = bonded(&three_modems());
    world.run_ms(5000);
    let saved = kill(&mut world, 900);
    world.restart(&saved);
    assert_eq!((world.relay.links(), world.relay.groups()), (3, 1));
    world.run_ms(1000);
    assert_connected(&world, publisher);
    // Half a second later the control plane is there, and the stream lives by it.
    world.assign(assignment(1));
    world.run_ms(5000);
    let now = world.now;
    let live = world.bond(publisher).sender.links(now);
    assert!(live.iter().all(|link| link.is_live), "{live:?}");
    let links = world.relay.samples(now).remove(0).links;
    assert!(
        links
            .iter()
            .all(|link| link.last_second.bitrate_bps > 50_000)
    );
    finish(&mut world, publisher);
    assert_connected(&world, player);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn a_plain_stream_outlives_it_too() {
    let mut world = World::with_session();
    let slow = Spec {
        latency_ms: 2000,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(slow, 0, &delayed(20));
    world.run_ms(1000);
    let player = world.player(Spec::new(2, play(1)), &delayed(5));
    world.run_ms(2000);
    let saved = kill(&mut world, 700);
    world.restart(&saved);
    world.run_ms(5000);
    finish(&mut world, publisher);
    assert_complete(&mut world, publisher, player);
}

#[test]
fn what_is_too_old_for_repair_costs_no_connection() {
    let (mut world, publisher, player) = bonded(&three_modems());
    world.run_ms(2000);
    // Longer than the latency, and than senders wait for a link.
    let saved = kill(&mut world, 4500);
    world.restart(&saved);
    world.assign(assignment(1));
    let before = world.published(publisher).sent;
    world.run_ms(4000);
    finish(&mut world, publisher);
    assert_connected(&world, player);
    let sent = world.published(publisher).sent;
    let numbers = world.played(player).numbers();
    let after = numbers.iter().filter(|number| **number >= before).count() as u64;
    assert_eq!(after, sent - before, "all that was sent to the new process");
    assert_eq!(world.relay.links(), 3);
}

#[test]
fn streams_on_all_relays_of_a_node_go_on_where_they_were() {
    let mut world = sharded(true, 3);
    let mut pairs = Vec::new();
    for session in 1..=4 {
        world.assign(assignment(session));
        let publisher = world.bonded(spec(session, live(session)), 0, &three_modems());
        let player = Spec::new(100 + session, play(session));
        pairs.push((publisher, world.player(player, &delayed(5))));
    }
    world.run_ms(2000);
    let saved = kill(&mut world, 500);
    world.restart(&saved);
    for session in 1..=4 {
        world.assign(assignment(session));
    }
    world.run_ms(3000);
    assert_eq!(relays(&world).map(Relay::links).sum::<u32>(), 12);
    for (publisher, player) in pairs {
        finish(&mut world, publisher);
        assert_complete(&mut world, publisher, player);
    }
}

#[test]
fn a_link_joins_a_group_of_before_the_restart() {
    let (mut world, publisher, _) = bonded(&three_modems());
    let now = world.now;
    let span = Duration::ZERO..Duration::from_secs(13);
    world.bond(publisher).black_out(now, 2, span);
    world.run_ms(11_000);
    assert_eq!(world.relay.links(), 2);
    let saved = kill(&mut world, 300);
    world.restart(&saved);
    world.assign(assignment(1));
    world.run_ms(5000);
    assert_eq!((world.relay.links(), world.relay.groups()), (3, 1));
}

#[test]
fn a_session_that_was_taken_back_meanwhile_is_cut() {
    let (mut world, publisher, player) = bonded(&three_modems());
    let saved = kill(&mut world, 300);
    world.restart(&saved);
    world.run_ms(500);
    assert_eq!(world.relay.publishers(), 1);
    let grants = vec![grant(&assignment(2))];
    world.command(Command::Resync {
        grants,
        keep: Vec::new(),
    });
    world.run_ms(500);
    assert_eq!((world.relay.publishers(), world.relay.players()), (0, 0));
    assert_eq!(world.state(publisher), State::Closed);
    assert_eq!(world.state(player), State::Closed);
}

#[test]
fn without_a_control_plane_the_lease_ends_it() {
    let mut world = World::new();
    world.assign(crate::leases::assignment_for(1, 1, 60));
    let publisher = world.bonded(spec(1, live(1)), 0, &three_modems());
    assert_connected(&world, publisher);
    let saved = kill(&mut world, 300);
    world.restart(&saved);
    world.run_ms(30_000);
    assert_eq!(world.relay.publishers(), 1);
    // A second restart changes nothing about it.
    let saved = kill(&mut world, 300);
    world.restart(&saved);
    world.run_ms(100_000);
    assert_eq!(world.relay.publishers(), 0);
    let gone = Event::PublisherGone {
        session: session_id(1),
        reason: GoneReason::LeaseExpired,
        pulled: false,
    };
    assert!(world.events.contains(&gone));
}

#[test]
fn a_stopping_relay_says_goodbye_to_those_whom_the_next_will_not_know() {
    let mut world = encryption::world(Encryption::Optional);
    let publisher = world.publisher(encryption::publisher(None), 0, &delayed(5));
    world.run_ms(500);
    let clear = world.player(encryption::player(2, None), &delayed(5));
    let encrypted = world.player(encryption::player(3, encryption::PLAYER), &delayed(5));
    world.run_ms(500);
    assert_eq!(world.save()[0].connections(), 2);
    let now = world.now;
    world.relay.leave(now);
    world.run_ms(300);
    assert_connected(&world, publisher);
    assert_connected(&world, clear);
    assert_eq!(world.state(encrypted), State::Closed);
    let gone = Event::PlayerGone {
        session: session_id(1),
        reason: GoneReason::Restart,
    };
    assert!(world.events.contains(&gone));
}

#[test]
fn an_encrypted_publisher_and_its_players_call_again() {
    let mut world = encryption::world(Encryption::Optional);
    let from = encryption::publisher(encryption::PUBLISHER);
    let publisher = world.publisher(from, 0, &delayed(5));
    world.run_ms(500);
    let player = world.player(encryption::player(2, None), &delayed(5));
    world.run_ms(500);
    assert_eq!(world.save()[0].connections(), 0);
    let now = world.now;
    world.relay.leave(now);
    world.run_ms(300);
    assert_eq!(world.state(publisher), State::Closed);
    assert_eq!(world.state(player), State::Closed);
}

#[test]
fn what_is_saved_of_another_number_of_relays_is_of_no_use() {
    let (mut world, _, _) = bonded(&three_modems());
    let saved = world.save();
    let mut other = sharded(true, 1);
    other.now = world.now;
    other.restart(&saved);
    assert_eq!(relays(&other).map(Relay::publishers).sum::<u32>(), 0);
    world.run_ms(1);
}

#[test]
fn no_restart_brings_more_than_a_node_may_have() {
    let (mut world, publisher, _) = bonded(&three_modems());
    let saved = world.save();
    let mut config = Config::default();
    config.srtla.groups_max = 0;
    world = World::with(config);
    world.restart(&saved);
    assert_eq!((world.relay.groups(), world.relay.publishers()), (0, 0));
    assert_eq!(publisher, 0);
}

#[test]
fn after_a_cold_start_links_register_anew_and_the_encoder_returns_over_all_of_them() {
    let (mut world, publisher, _) = bonded(&three_modems());
    world.run_ms(1000);
    world.restart(&[]);
    world.assign(assignment(1));
    // Senders give a link up after four silent seconds and look each second.
    world.run_ms(5500);
    assert_eq!((world.relay.links(), world.relay.groups()), (3, 1));
    world.replace_encoder(publisher, spec(1, live(1)), SECOND);
    world.run_ms(2000);
    assert_connected(&world, publisher);
    let now = world.now;
    assert_eq!(world.relay.samples(now)[0].links.len(), 3);
}

#[test]
fn an_encoder_that_returns_before_its_links_do_waits_for_them() {
    for is_steered in [true, false] {
        let mut world = sharded(is_steered, 2);
        world.assign(assignment(1));
        let publisher = world.bonded(spec(1, live(1)), 0, &three_modems());
        world.run_ms(1000);
        world.restart(&[]);
        world.assign(assignment(1));
        // By then every link has asked in vain.
        world.run_ms(2500);
        world.replace_encoder(publisher, spec(1, live(1)), SECOND);
        world.run_ms(6000);
        assert_connected(&world, publisher);
        let links: u32 = relays(&world).map(Relay::links).sum();
        let publishers: u32 = relays(&world).map(Relay::publishers).sum();
        assert_eq!((publishers, links), (1, 3));
        let waited = relays(&world)
            .map(|relay| relay.counters().drops(DropReason::SrtlaUnregistered))
            .sum::<u64>();
        assert!(waited > 0);
        let now = world.now;
        let live = world.bond(publisher).sender.links(now);
        assert!(live.iter().all(|link| link.is_live), "{live:?}");
    }
}
