//! Publishers and players that encrypt, each with its own passphrase.

use std::time::Duration;

use model::Passphrase;
use model::settings::Encryption;
use srt::RejectReason;
use srt::crypto::{Kek, KeyLength, KeyMaterial, RefreshAfter, Sek, SekPair};
use srt::packet::{DataHeader, KeyParity};
use streamhaul_relay_core::{Assignment, Config, DropReason, Event, GoneReason, RefusalReason};
use testkit::linksim::Impairment;

use crate::caller::{Secret, Spec, State};
use crate::forwarding::delayed;
use crate::leases::{assignment_with, live, play, session_id};
use crate::publisher::key_request;
use crate::world::World;

pub(crate) const PUBLISHER: Secret = Secret::new("the publisher's passphrase", KeyLength::Bits256);
pub(crate) const PLAYER: Secret = Secret::new("the players' passphrase", KeyLength::Bits128);
pub(crate) const WRONG: Secret = Secret::new("another passphrase", KeyLength::Bits128);
/// At 571 packets a second, a change each third of a second.
pub(crate) const OFTEN: RefreshAfter = RefreshAfter {
    packets: 200,
    announced_before: 90,
};

/// An assignment of session 1 under `encryption` with both passphrases.
fn encrypted(encryption: Encryption) -> Assignment {
    encrypted_session(1, encryption)
}

pub(crate) fn encrypted_session(session: u8, encryption: Encryption) -> Assignment {
    let mut assignment = assignment_with(session, |claims| claims.encryption = Some(encryption));
    for (keyed, secret) in [
        (&mut assignment.publish, PUBLISHER),
        (&mut assignment.play, PLAYER),
    ] {
        let passphrase = Passphrase::parse(secret.passphrase).unwrap();
        keyed.as_mut().unwrap().passphrase = Some(passphrase);
    }
    assignment
}

pub(crate) fn world(encryption: Encryption) -> World {
    world_with(encryption, Config::default())
}

fn world_with(encryption: Encryption, config: Config) -> World {
    let mut world = World::with(config);
    world.assign(encrypted(encryption));
    world
}

pub(crate) fn publisher(secret: impl Into<Option<Secret>>) -> Spec {
    Spec {
        secret: secret.into(),
        latency_ms: 400,
        ..Spec::new(1, live(1))
    }
}

pub(crate) fn player(host: u8, secret: impl Into<Option<Secret>>) -> Spec {
    Spec {
        secret: secret.into(),
        ..Spec::new(host, play(1))
    }
}

/// That everything from the first packet a player got was played.
fn assert_played(world: &mut World, peer: usize) {
    let played = world.played(peer);
    let numbers = played.numbers();
    assert!(numbers.len() > 1000, "{}", numbers.len());
    let first = numbers[0];
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
    assert_eq!(played.skipped, 0);
}

fn dropped(world: &World, reason: DropReason) -> u64 {
    world.relay.counters().drops(reason)
}

#[test]
fn each_end_has_its_own_passphrase_and_key_length() {
    let lossy = delayed(20).with_loss(0.02);
    for length in [KeyLength::Bits128, KeyLength::Bits192, KeyLength::Bits256] {
        let mut world = world(Encryption::Required);
        world.publisher(publisher(PUBLISHER), 0, &lossy);
        world.run_ms(500);
        let first = world.player(player(2, Secret { length, ..PLAYER }), &lossy);
        let second = world.player(player(3, PLAYER), &lossy);
        world.run_ms(5000);
        assert_played(&mut world, first);
        assert_played(&mut world, second);
        assert!(world.played(first).retransmitted > 0);
        assert_eq!(dropped(&world, DropReason::NoKey), 0);
    }
}

#[test]
fn a_bonded_publisher_encrypts_too() {
    let mut world = world(Encryption::Required);
    let links = [delayed(20), delayed(40)];
    let _ = world.bonded(publisher(PUBLISHER), 0, &links);
    let player = world.player(player(2, PLAYER), &delayed(5));
    world.run_ms(5000);
    assert_played(&mut world, player);
    let now = world.now;
    assert_eq!(world.relay.samples(now)[0].links.len(), 2);
}

#[test]
fn where_it_is_optional_clear_and_encrypted_callers_meet() {
    for (publishes, plays, plays_too) in [
        (Some(PUBLISHER), None, Some(PLAYER)),
        (None, Some(PLAYER), None),
    ] {
        let mut world = world(Encryption::Optional);
        world.publisher(publisher(publishes), 0, &delayed(5));
        world.run_ms(500);
        let first = world.player(player(2, plays), &delayed(5));
        let second = world.player(player(3, plays_too), &delayed(5));
        world.run_ms(4000);
        assert_played(&mut world, first);
        assert_played(&mut world, second);
    }
}

#[test]
fn keys_change_on_both_legs_and_nothing_is_lost() {
    let config = Config {
        key_refresh: OFTEN,
        ..Config::default()
    };
    let mut world = world_with(Encryption::Required, config);
    let lossy = delayed(20).with_loss(0.05);
    let from = world.publisher(publisher(PUBLISHER), 0, &lossy);
    world.published(from).refresh = OFTEN;
    world.run_ms(500);
    let to = world.player(player(2, PLAYER), &lossy);
    world.run_ms(10_000);
    assert_played(&mut world, to);
    assert!(world.published(from).key_changes > 10);
    assert!(world.played(to).key_changes > 10);
    assert!(world.published(from).retransmitted > 100);
    assert_eq!(dropped(&world, DropReason::NoKey), 0);
}

/// What a caller is told and what is reported.
fn refusal(assignment: Assignment, spec: Spec) -> (RejectReason, RefusalReason) {
    let mut world = World::new();
    world.assign(assignment);
    let caller = world.publisher(spec, 0, &Impairment::default());
    world.run_ms(500);
    let State::Refused(told) = world.state(caller) else {
        panic!("{:?}", world.state(caller))
    };
    match world.events.as_slice() {
        [Event::Refused { session, reason }] => {
            assert_eq!(*session, Some(session_id(1)));
            (told, *reason)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refusals_are_those_of_a_libsrt_listener() {
    let no_passphrase = assignment_with(1, |c| c.encryption = Some(Encryption::Required));
    for (assignment, secret, told, reason) in [
        (
            encrypted(Encryption::Off),
            Some(PUBLISHER),
            RejectReason::UNSECURE,
            RefusalReason::EncryptionUnexpected,
        ),
        (
            assignment_with(1, |_| {}),
            Some(PUBLISHER),
            RejectReason::UNSECURE,
            RefusalReason::EncryptionUnexpected,
        ),
        (
            encrypted(Encryption::Required),
            None,
            RejectReason::UNSECURE,
            RefusalReason::EncryptionRequired,
        ),
        (
            no_passphrase,
            Some(PUBLISHER),
            RejectReason::UNSECURE,
            RefusalReason::NoPassphrase,
        ),
        (
            encrypted(Encryption::Required),
            Some(WRONG),
            RejectReason::BAD_SECRET,
            RefusalReason::BadSecret,
        ),
        (
            encrypted(Encryption::Optional),
            Some(PLAYER),
            RejectReason::BAD_SECRET,
            RefusalReason::BadSecret,
        ),
    ] {
        assert_eq!(refusal(assignment, publisher(secret)), (told, reason));
    }
}

#[test]
fn a_caller_is_let_in_when_its_keys_are_there_and_not_twice() {
    let mut world = world(Encryption::Required);
    world.is_key_work_held = true;
    let caller = world.publisher(publisher(PUBLISHER), 0, &delayed(5));
    world.run_ms(900);
    assert!(matches!(world.state(caller), State::Calling { .. }));
    assert_eq!(world.key_work.len(), 1, "repeated requests ask for nothing");
    assert_eq!(dropped(&world, DropReason::KeyWorkPending), 3);
    let done = world.key_work.remove(0).run();
    world.finish(done);
    world.run_ms(200);
    assert!(matches!(world.state(caller), State::Connected { .. }));
    assert_eq!(world.relay.publishers(), 1);
}

#[test]
fn what_was_changed_meanwhile_counts() {
    let mut world = world(Encryption::Required);
    world.is_key_work_held = true;
    let caller = world.publisher(publisher(PUBLISHER), 0, &delayed(5));
    world.run_ms(100);
    let done = world.key_work.remove(0).run();
    world.assign(encrypted(Encryption::Off));
    world.finish(done);
    world.run_ms(100);
    let expected = State::Refused(RejectReason::UNSECURE);
    assert_eq!(world.state(caller), expected);
}

#[test]
fn key_work_is_bounded_and_forgotten() {
    let mut world = world(Encryption::Required);
    world.is_key_work_held = true;
    for host in 1..=80 {
        let spec = Spec {
            secret: Some(PUBLISHER),
            ..Spec::new(host, live(1))
        };
        world.publisher(spec, 0, &delayed(5));
    }
    world.run_ms(100);
    assert_eq!(world.key_work.len(), 64);
    assert_eq!(dropped(&world, DropReason::KeyWorkFull), 80 - 64);
    world.run_ms(5100);
    assert!(
        world.key_work.len() > 64,
        "what did not come back is asked for again"
    );
    let late = world.key_work.remove(0).run();
    world.finish(late);
    assert_eq!(world.relay.publishers(), 0);
}

#[test]
fn a_takeover_may_bring_keys_of_another_length() {
    let mut world = world(Encryption::Required);
    let first = world.publisher(publisher(PUBLISHER), 0, &delayed(5));
    world.run_ms(500);
    let to = world.player(player(2, PLAYER), &delayed(5));
    world.run_ms(2000);
    world.published(first).is_dead = true;
    let next = world.published(first).sent;
    let shorter = Secret {
        length: KeyLength::Bits128,
        ..PUBLISHER
    };
    let returning = Spec {
        isn: 77,
        ..Spec::new(9, live(1))
    };
    world.publisher(
        Spec {
            secret: Some(shorter),
            latency_ms: 400,
            ..returning
        },
        next,
        &delayed(5),
    );
    world.run_ms(3000);
    let numbers = world.played(to).numbers();
    assert!(*numbers.last().unwrap() > next + 1000);
    assert!(!world.events.iter().any(|event| matches!(
        event,
        Event::PlayerGone {
            reason: GoneReason::TakenOver,
            ..
        }
    )));
}

/// A packet from the publisher that nobody has announced a key for.
fn stranger(world: &mut World, from: usize, key: KeyParity) -> Vec<u8> {
    let now = world.now;
    let published = world.published(from);
    let (header, isn) = (
        published.caller.header(now).unwrap(),
        published.caller.isn(),
    );
    let seq = isn.add(published.sent as u32);
    let data = DataHeader {
        key,
        ..DataHeader::live(seq, 1, header.timestamp, header.destination)
    };
    [&data.to_bytes()[..], &[0x47; 188]].concat()
}

#[test]
fn what_cannot_be_read_is_counted_and_goes_no_further() {
    let mut world = world(Encryption::Required);
    let from = world.publisher(publisher(PUBLISHER), 0, &delayed(5));
    world.run_ms(500);
    let to = world.player(player(2, PLAYER), &delayed(5));
    world.run_ms(500);
    world.published(from).is_running = false;
    world.run_ms(500);
    let arrivals = world.played(to).arrivals;
    for (key, reason) in [
        (KeyParity::Odd, DropReason::NoKey),
        (KeyParity::Both, DropReason::NoKey),
        (KeyParity::Clear, DropReason::Unencrypted),
    ] {
        let before = dropped(&world, reason);
        let datagram = stranger(&mut world, from, key);
        world.inject(world.ingress(from), &datagram);
        assert_eq!(dropped(&world, reason), before + 1);
    }
    world.run_ms(500);
    assert_eq!(world.played(to).arrivals, arrivals);
    world.published(from).is_running = true;
    world.run_ms(500);
    assert!(
        world.played(to).arrivals > arrivals + 200,
        "and nothing is broken"
    );
}

/// Key material with a new salt, under the publisher's passphrase or another.
pub(crate) fn resalted(secret: Secret, salt: u8) -> KeyMaterial {
    let kek = Kek::derive(secret.passphrase.as_bytes(), [salt; 16], secret.length);
    kek.wrap(&SekPair {
        even: None,
        odd: Some(Sek::new(secret.length, &[salt; 32])),
    })
}

#[test]
fn a_new_salt_is_worked_on_elsewhere() {
    let mut world = world(Encryption::Required);
    let from = world.publisher(publisher(PUBLISHER), 0, &delayed(5));
    world.run_ms(500);
    world.is_key_work_held = true;
    let now = world.now;
    let header = world.published(from).caller.header(now).unwrap();
    let ingress = world.ingress(from);
    let request = key_request(header, &resalted(PUBLISHER, 9));
    world.inject(ingress, &request);
    world.inject(ingress, &request);
    assert_eq!(world.key_work.len(), 1);
    assert_eq!(dropped(&world, DropReason::KeyWorkPending), 1);
    let odd = stranger(&mut world, from, KeyParity::Odd);
    world.inject(ingress, &odd);
    assert_eq!(dropped(&world, DropReason::NoKey), 1);
    let done = world.key_work.remove(0).run();
    world.finish(done);
    world.inject(ingress, &odd);
    assert_eq!(dropped(&world, DropReason::NoKey), 1, "now it is read");
}

#[test]
fn bad_key_requests_change_nothing() {
    let mut world = world(Encryption::Optional);
    let from = world.publisher(publisher(PUBLISHER), 0, &delayed(5));
    world.run_ms(500);
    let to = world.player(player(2, None), &delayed(5));
    world.run_ms(500);
    let now = world.now;
    let header = world.published(from).caller.header(now).unwrap();
    let ingress = world.ingress(from);
    world.inject(ingress, &key_request(header, &resalted(WRONG, 8)));
    assert_eq!(dropped(&world, DropReason::BadKeyMaterial), 1);
    let mut malformed = key_request(header, &resalted(PUBLISHER, 8));
    malformed.truncate(60);
    world.inject(ingress, &malformed);
    assert_eq!(dropped(&world, DropReason::BadKeyMaterial), 2);
    world.run_ms(3000);
    assert_played(&mut world, to);
}

#[test]
fn encrypting_allocates_nothing() {
    let config = Config {
        key_refresh: OFTEN,
        ..Config::default()
    };
    let mut world = world_with(Encryption::Required, config);
    let path = delayed(20).with_loss(0.02);
    let from = world.publisher(publisher(PUBLISHER), 0, &path);
    world.published(from).refresh = OFTEN;
    world.run_ms(1000);
    for host in [2, 3] {
        world.player(player(host, PLAYER), &path);
    }
    world.run_ms(5000);
    world.allocations = 0;
    world.run(Duration::from_secs(10));
    assert_eq!(world.allocations, 0);
}
