//! Remotes that are called with a passphrase: what goes between the nodes can only
//! be read by them.

use model::Passphrase;
use model::settings::Encryption;
use srt::handshake::{Kind, Latency};
use srt::packet::ControlHeader;
use srt::{RejectReason, Timestamp};
use streamhaul_relay_core::{
    Assignment, Config, DropReason, KeyLength, Remote, RemoteFailure, RemoteSecret,
};
use testkit::linksim::Impairment;

use crate::caller::{Secret, Spec};
use crate::elsewhere::{NOWHERE, agreement, answer};
use crate::encryption::{OFTEN, PLAYER, PUBLISHER, WRONG, encrypted_session, publisher, resalted};
use crate::fleet::{Fleet, remote};
use crate::forwarding::delayed;
use crate::leases::{live, play};
use crate::publisher::key_request;

const LENGTHS: [KeyLength; 3] = [KeyLength::Bits128, KeyLength::Bits192, KeyLength::Bits256];

/// The remote, called with this secret.
fn with_secret(remote: Remote, secret: Secret) -> Remote {
    Remote {
        secret: Some(RemoteSecret {
            passphrase: Passphrase::parse(secret.passphrase).unwrap(),
            key_length: secret.length,
        }),
        ..remote
    }
}

fn required(session: u8) -> Assignment {
    encrypted_session(session, Encryption::Required)
}

fn pulling(from: Remote) -> Assignment {
    Assignment {
        pull: Some(from),
        ..required(2)
    }
}

/// What node 1 pulls of node 0, called with this secret.
fn pull(secret: Secret) -> Assignment {
    pulling(with_secret(remote(0, &play(1)), secret))
}

/// What node 0 pushes to node 1, called with this secret.
fn push(secret: Secret) -> Assignment {
    Assignment {
        push: vec![with_secret(remote(1, &live(2)), secret)],
        ..required(1)
    }
}

/// Publisher → node 0 → node 1 → player, where node 1 pulls or node 0 pushes. All
/// must encrypt.
fn relayed(
    first: &Assignment,
    second: &Assignment,
    config: Config,
    middle: &Impairment,
) -> (Fleet, usize) {
    let mut fleet = Fleet::with(2, config);
    fleet.impair(0, 1, middle);
    // Who is called is there before who calls.
    if second.pull.is_none() {
        fleet.assign(1, second);
    }
    fleet.assign(0, first);
    fleet.publisher(0, publisher(PUBLISHER));
    fleet.run_s(1);
    if second.pull.is_some() {
        fleet.assign(1, second);
    }
    fleet.run_s(2);
    let player = Spec {
        secret: Some(PLAYER),
        ..Spec::new(2, play(2))
    };
    let player = fleet.player(1, player);
    (fleet, player)
}

/// That the player missed nothing of what came since its first packet.
fn assert_whole(fleet: &mut Fleet, player: usize) {
    let played = fleet.played(player);
    let numbers = played.numbers();
    let first = *numbers.first().expect("something is played");
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert!(numbers.len() > 1000, "{}", numbers.len());
    assert_eq!(numbers, expected);
    assert_eq!(played.skipped, 0);
}

fn assert_unreadable(fleet: &Fleet) {
    let wire = &fleet.wire;
    assert!(wire.sealed > 1000, "{wire:?}");
    assert_eq!((wire.clear, wire.readable), (0, 0), "{wire:?}");
}

#[test]
fn what_is_pulled_or_pushed_with_a_passphrase_cannot_be_read_on_the_way() {
    for length in LENGTHS {
        let (to_players, to_publishers) = (
            Secret { length, ..PLAYER },
            Secret {
                length,
                ..PUBLISHER
            },
        );
        for (first, second) in [
            (required(1), pull(to_players)),
            (push(to_publishers), required(2)),
        ] {
            let config = Config::default();
            let (mut fleet, player) = relayed(&first, &second, config, &delayed(20));
            fleet.run_s(5);
            assert_whole(&mut fleet, player);
            assert_unreadable(&fleet);
        }
    }
}

/// The same look at a wire that is not encrypted: it sees what there is to see.
#[test]
fn without_a_passphrase_everybody_on_the_way_can_read_it() {
    let optional = |session| encrypted_session(session, Encryption::Optional);
    let second = Assignment {
        pull: Some(remote(0, &play(1))),
        ..optional(2)
    };
    let config = Config::default();
    let (mut fleet, player) = relayed(&optional(1), &second, config, &delayed(20));
    fleet.run_s(5);
    assert_whole(&mut fleet, player);
    assert!(fleet.wire.readable > 1000, "{:?}", fleet.wire);
    assert_eq!(fleet.wire.sealed, 0);
}

#[test]
fn keys_change_between_nodes_and_nothing_is_lost() {
    for (first, second) in [(required(1), pull(PLAYER)), (push(PUBLISHER), required(2))] {
        let config = Config {
            key_refresh: OFTEN,
            ..Config::default()
        };
        let (mut fleet, player) = relayed(&first, &second, config, &delayed(20).with_loss(0.05));
        fleet.run_s(10);
        assert_whole(&mut fleet, player);
        assert_unreadable(&fleet);
        assert!(fleet.wire.key_changes > 10, "{:?}", fleet.wire);
        let drops = |reason| fleet.nodes[1].relay.counters().drops(reason);
        assert_eq!(drops(DropReason::NoKey), 0);
        assert_eq!(drops(DropReason::BadKeyMaterial), 0);
    }
}

/// Why nothing is relayed: all failures are the same.
fn failure(first: &Assignment, second: &Assignment, caller: usize) -> RemoteFailure {
    let (mut fleet, _) = relayed(first, second, Config::default(), &delayed(5));
    fleet.run_s(5);
    let failures = fleet.failures(caller);
    assert!(failures.len() > 1, "it is tried again");
    assert!(failures.iter().all(|it| *it == failures[0]), "{failures:?}");
    assert_eq!(fleet.wire.clear + fleet.wire.sealed, 0);
    failures[0]
}

#[test]
fn remotes_that_do_not_agree_on_a_secret_say_why() {
    let clear = encrypted_session(1, Encryption::Off);
    let bad_secret = RemoteFailure::Rejected(RejectReason::BAD_SECRET);
    let unsecure = RemoteFailure::Rejected(RejectReason::UNSECURE);
    assert_eq!(failure(&required(1), &pull(WRONG), 1), bad_secret);
    assert_eq!(failure(&push(WRONG), &required(2), 0), bad_secret);
    assert_eq!(bad_secret.word(), "rejected_bad_secret");
    // The old node wants it in the clear, or only so.
    let mut fleet = Fleet::new(2);
    fleet.assign(0, &clear);
    fleet.publisher(0, Spec::new(1, live(1)));
    fleet.run_s(1);
    fleet.assign(1, pull(PLAYER));
    fleet.run_s(5);
    assert!(fleet.failures(1).iter().all(|it| *it == unsecure));
    let bare = Assignment {
        pull: Some(remote(0, &play(1))),
        ..encrypted_session(2, Encryption::Optional)
    };
    assert_eq!(failure(&required(1), &bare, 1), unsecure);
}

#[test]
fn another_secret_is_another_call_and_cuts_nothing() {
    let first = required(1);
    let (mut fleet, player) = relayed(&first, &pull(PLAYER), Config::default(), &delayed(5));
    fleet.run_s(2);
    for _ in 0..3 {
        fleet.assign(1, pull(PLAYER));
        fleet.run_s(1);
    }
    assert_eq!(fleet.nodes[1].lookups.len(), 1, "the same goes on");
    let longer = Secret {
        length: KeyLength::Bits256,
        ..PLAYER
    };
    fleet.assign(1, pull(longer));
    fleet.run_s(3);
    assert_eq!(fleet.nodes[1].lookups.len(), 2);
    assert_eq!(fleet.publishers_gone(1), []);
    let played = fleet.played(player).played.len();
    fleet.run_s(2);
    assert!(fleet.played(player).played.len() > played + 1000);
    assert_unreadable(&fleet);
}

#[test]
fn a_call_waits_for_its_keys_and_not_for_ever() {
    let mut fleet = Fleet::new(2);
    fleet.is_key_work_held = true;
    fleet.assign(1, pull(PLAYER));
    fleet.run_s(20);
    let failures = fleet.failures(1);
    assert!(failures.len() > 1, "{failures:?}");
    assert!(failures.iter().all(|it| *it == RemoteFailure::NoKeys));
    assert_eq!(fleet.between_nodes, 0, "nobody was called without keys");
    fleet.assign(0, required(1));
    fleet.is_key_work_held = false;
    fleet.publisher(0, publisher(PUBLISHER));
    // Old work comes back now, and is nobody's.
    fleet.run_s(60);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1);
}

/// libsrt without enforced encryption agrees all the same, and sends what it likes.
#[test]
fn a_listener_that_does_not_take_the_keys_is_not_used() {
    let mut fleet = Fleet::new(1);
    fleet.names.insert("elsewhere".into(), Ok(NOWHERE));
    let elsewhere = Remote {
        host: "elsewhere".into(),
        ..remote(0, "")
    };
    fleet.assign(0, pulling(with_secret(elsewhere, PLAYER)));
    fleet.run_s(1);
    let socket = fleet.calling_socket();
    fleet.inject(0, NOWHERE, &answer(Kind::Induction, socket));
    fleet.inject(0, NOWHERE, &agreement(Latency::both(120), socket));
    let unusable = RemoteFailure::Unusable(RejectReason::UNSECURE);
    assert_eq!(fleet.failures(0), [unusable]);
    assert_eq!(fleet.nodes[0].relay.publishers(), 0);
}

#[test]
fn a_remote_with_a_new_salt_is_followed_with_its_own_passphrase() {
    let (mut fleet, player) = relayed(&required(1), &pull(PLAYER), Config::default(), &delayed(5));
    fleet.run_s(1);
    let header = ControlHeader {
        timestamp: Timestamp(0),
        destination: fleet.wire.last_socket.unwrap(),
    };
    let from = fleet.nodes[0].addr;
    let bad = |fleet: &Fleet| {
        fleet.nodes[1]
            .relay
            .counters()
            .drops(DropReason::BadKeyMaterial)
    };
    // The session's own publishers have another passphrase.
    fleet.inject(1, from, &key_request(header, &resalted(PUBLISHER, 8)));
    assert_eq!(bad(&fleet), 1);
    fleet.inject(1, from, &key_request(header, &resalted(PLAYER, 9)));
    assert_eq!(bad(&fleet), 1);
    let answers = |fleet: &Fleet| {
        let counters = fleet.nodes[0].relay.counters();
        counters.drops(DropReason::UnexpectedControl)
    };
    let before = answers(&fleet);
    fleet.run_s(2);
    assert_eq!(answers(&fleet), before + 1, "it was confirmed, unasked for");
    assert_whole(&mut fleet, player);
}
