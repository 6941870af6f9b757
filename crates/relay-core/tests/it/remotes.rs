//! Remotes that cannot be reached, that refuse, that go in circles, and those
//! that are taken back.

use std::net::SocketAddr;
use std::time::Duration;

use lease::Claims;
use model::session::Role;
use model::settings::Encryption;
use srt::RejectReason;
use srt::handshake::Kind;
use streamhaul_relay_core::{
    Command, CommandError, DropReason, Event, GoneReason, KeyedLease, LookupError, PUSHES_MAX,
    RefusalReason, Remote, RemoteFailure,
};
use testkit::linksim::Impairment;

use crate::caller::Spec;
use crate::elsewhere::{NOWHERE, answer};
use crate::fleet::{Fleet, remote};
use crate::leases::{
    WALL_START, assignment, assignment_for, claims, key, key_set, live, node_id, play, session_id,
    sign,
};

fn host(name: &str) -> Remote {
    Remote {
        host: name.into(),
        ..remote(0, &play(1))
    }
}

/// Node 0 with a publisher of stream 1.
fn fleet_with_publisher(nodes: u8) -> Fleet {
    let mut fleet = Fleet::new(nodes);
    fleet.assign(0, assignment(1));
    fleet.publisher(0, Spec::new(1, live(1)));
    fleet.run_s(1);
    fleet
}

fn pull(fleet: &mut Fleet, node: usize, from: Remote) {
    let mut pulled = assignment(2);
    pulled.pull = Some(from);
    fleet.assign(node, pulled);
}

#[test]
fn a_wrong_key_is_reported_and_asked_for_ever_more_rarely() {
    let mut fleet = fleet_with_publisher(2);
    pull(&mut fleet, 1, remote(0, &play(9)));
    fleet.run_s(600);
    let failures = fleet.failures(1);
    let rejected = RemoteFailure::Rejected(RejectReason::UNAUTHORIZED);
    assert!(failures.iter().all(|failure| *failure == rejected));
    // 1, 2, 4, 8, 16 seconds at most, then between 15 and 30.
    assert!((20..=45).contains(&failures.len()), "{}", failures.len());
    pull(&mut fleet, 1, remote(0, &play(1)));
    fleet.run_s(1);
    assert_eq!(
        fleet.nodes[1].relay.publishers(),
        1,
        "another key is tried at once"
    );
}

#[test]
fn a_dead_address_is_looked_up_again_until_it_lives() {
    let mut fleet = fleet_with_publisher(2);
    fleet.names.insert("moved".into(), Ok(NOWHERE));
    pull(&mut fleet, 1, host("moved"));
    fleet.run_s(60);
    let failures = fleet.failures(1);
    assert!(failures.len() >= 3);
    assert!(failures.iter().all(|f| *f == RemoteFailure::NoAnswer));
    let alive = fleet.nodes[0].addr;
    fleet.names.insert("moved".into(), Ok(alive));
    fleet.run_s(40);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1);
    assert!(fleet.nodes[1].lookups.iter().all(|host| host == "moved"));
}

#[test]
fn a_host_without_an_address_or_a_forbidden_one_is_not_called() {
    for (found, failure) in [
        (LookupError::NotFound, RemoteFailure::NoAddress),
        (LookupError::Forbidden, RemoteFailure::ForbiddenAddress),
    ] {
        let mut fleet = fleet_with_publisher(2);
        fleet.names.insert("nowhere".into(), Err(found));
        pull(&mut fleet, 1, host("nowhere"));
        fleet.run_s(60);
        assert!(fleet.failures(1).iter().all(|f| *f == failure));
        assert!(fleet.failures(1).len() >= 3);
        assert_eq!(fleet.between_nodes, 0);
    }
}

#[test]
fn an_owner_that_never_answers_is_asked_again() {
    let mut fleet = fleet_with_publisher(2);
    pull(&mut fleet, 1, remote(0, &play(9)));
    let asked = |fleet: &Fleet| {
        let events = fleet.nodes[1].events.iter();
        let lookups = events.filter(|event| matches!(event, Event::Lookup(_)));
        lookups.count()
    };
    let first = asked(&fleet);
    // An answer to another attempt, or for another session, is nobody's.
    for (session, attempt) in [(2, 999), (1, 1)] {
        fleet.command(
            1,
            Command::Found {
                session: session_id(session),
                attempt,
                address: Ok(NOWHERE),
            },
        );
    }
    fleet.run_s(30);
    assert!(asked(&fleet) > first);
}

#[test]
fn what_is_taken_back_is_cut_and_not_called_again() {
    let mut fleet = fleet_with_publisher(2);
    pull(&mut fleet, 1, remote(0, &play(1)));
    fleet.run_s(1);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1);
    fleet.assign(1, assignment(2));
    fleet.run_s(1);
    assert_eq!(fleet.publishers_gone(1), [GoneReason::Withdrawn]);
    assert_eq!(fleet.nodes[0].relay.players(), 0, "the remote was told");
    pull(&mut fleet, 1, remote(0, &play(1)));
    fleet.run_s(1);
    let revoke = Command::Revoke {
        session: session_id(2),
        reason: "stopped".into(),
    };
    fleet.command(1, revoke);
    let (calls, sent) = (fleet.nodes[1].lookups.len(), fleet.between_nodes);
    fleet.run_s(120);
    assert_eq!(fleet.nodes[1].lookups.len(), calls);
    assert!(fleet.between_nodes <= sent + 2, "{}", fleet.between_nodes);
    assert!(fleet.nodes[1].relay.is_idle());
}

#[test]
fn a_renewed_assignment_leaves_its_remotes_alone() {
    let mut fleet = fleet_with_publisher(2);
    pull(&mut fleet, 1, remote(0, &play(1)));
    fleet.run_s(1);
    for _ in 0..10 {
        pull(&mut fleet, 1, remote(0, &play(1)));
        fleet.run_s(1);
    }
    assert_eq!(fleet.nodes[1].lookups.len(), 1);
    assert_eq!(fleet.publishers_gone(1), []);
}

#[test]
fn remotes_end_with_the_lease_and_begin_again_with_the_next() {
    let mut fleet = fleet_with_publisher(2);
    let mut short = assignment_for(2, 2, 30);
    short.pull = Some(remote(0, &play(1)));
    fleet.assign(1, short);
    fleet.run_s(300);
    assert_eq!(fleet.publishers_gone(1), [GoneReason::LeaseExpired]);
    assert_eq!(
        fleet.nodes[1].lookups.len(),
        1,
        "an expired lease calls nobody"
    );
    pull(&mut fleet, 1, remote(0, &play(1)));
    fleet.run_s(2);
    assert_eq!(fleet.nodes[1].relay.publishers(), 1);
}

#[test]
fn remotes_need_their_leases_and_are_few() {
    let mut unbacked_pull = assignment(1);
    unbacked_pull.pull = Some(remote(0, "x"));
    unbacked_pull.publish = None;
    let mut unbacked_push = assignment(1);
    unbacked_push.push = vec![remote(0, "x")];
    unbacked_push.play = None;
    let mut many = assignment(1);
    many.push = vec![remote(0, "x"); PUSHES_MAX + 1];
    for (assignment, error) in [
        (unbacked_pull, CommandError::Mismatch),
        (unbacked_push, CommandError::Mismatch),
        (many, CommandError::TooManyRemotes),
    ] {
        let verified = assignment.verify(&key_set(), &node_id(), WALL_START);
        assert_eq!(verified.unwrap_err(), error);
    }
}

#[test]
fn what_must_be_encrypted_is_not_relayed_in_the_clear() {
    let mut fleet = fleet_with_publisher(2);
    let lease_that_must = |role| {
        let required = Claims {
            encryption: Some(Encryption::Required),
            ..claims(2, 2, role, 100_000)
        };
        Some(KeyedLease {
            key: key(2, role),
            lease: sign(&required),
            passphrase: None,
        })
    };
    let mut secret = assignment(2);
    (secret.publish, secret.play) = (lease_that_must(Role::Publish), lease_that_must(Role::Play));
    secret.pull = Some(remote(0, &play(1)));
    fleet.assign(1, secret);
    fleet.run_s(5);
    let refused = RemoteFailure::Refused(RefusalReason::EncryptionRequired);
    assert!(fleet.failures(1).iter().all(|failure| *failure == refused));
    assert!(!fleet.failures(1).is_empty());
    assert_eq!(fleet.nodes[1].lookups, [""; 0]);
}

#[test]
fn a_node_that_pulls_from_itself_only_wastes_a_call() {
    let mut fleet = Fleet::new(1);
    let mut own = assignment(1);
    own.pull = Some(remote(0, &play(1)));
    fleet.assign(0, own);
    fleet.run_s(300);
    let failures = fleet.failures(0);
    let refused = RemoteFailure::Rejected(RejectReason::NOT_FOUND);
    assert!(failures.iter().all(|failure| *failure == refused));
    // With a stream on hold it even gets what it asks for: nothing.
    let publisher = fleet.publisher(0, Spec::new(1, live(1)));
    fleet.run_s(5);
    fleet.published(publisher).is_dead = true;
    fleet.run_s(30);
    let before = fleet.nodes[0].relay.counters().egress_bytes;
    fleet.run_s(300);
    let sent = fleet.nodes[0].relay.counters().egress_bytes - before;
    assert!(sent < 300 * 200, "{sent} bytes in five minutes");
}

/// How many datagrams the nodes send each other in so many seconds.
fn sent_in_s(fleet: &mut Fleet, seconds: u64) -> u64 {
    let before = fleet.between_nodes;
    fleet.run_s(seconds);
    fleet.between_nodes - before
}

#[test]
fn a_circle_of_pulls_ends() {
    // What goes round falls behind, or runs ahead by the margins.
    for delay_ms in [100, 50] {
        end_circle(&Impairment::delayed(Duration::from_millis(delay_ms)));
    }
}

fn end_circle(between: &Impairment) {
    let mut fleet = Fleet::new(3);
    fleet.impair(0, 1, between);
    fleet.assign(2, assignment(3));
    fleet.publisher(2, Spec::new(3, live(3)));
    fleet.run_s(1);
    // Node 1 pulls from node 0, and that from node 2.
    let mut first = assignment(1);
    first.pull = Some(remote(2, &play(3)));
    fleet.assign(0, &first);
    fleet.run_s(1);
    pull(&mut fleet, 1, remote(0, &play(1)));
    fleet.run_s(2);
    // Now node 0 pulls from node 1: what is under way between them goes round.
    first.pull = Some(remote(1, &play(2)));
    fleet.assign(0, &first);
    fleet.run_s(1);
    let circling = sent_in_s(&mut fleet, 2);
    assert!(circling > 1000, "only {circling} datagrams go round");
    fleet.run_s(120);
    let gone = [0, 1].map(|node| fleet.publishers_gone(node));
    assert!(gone.concat().contains(&GoneReason::Stale), "{gone:?}");
    // Two connections that say once a second that they are there, and calls.
    let sent = sent_in_s(&mut fleet, 60);
    assert!(sent < 60 * 8, "{sent} datagrams in a minute");
}

#[test]
fn nobody_but_the_called_may_answer() {
    let mut fleet = Fleet::new(1);
    fleet.names.insert("slow".into(), Ok(NOWHERE));
    let mut pulled = assignment(1);
    pulled.pull = Some(host("slow"));
    fleet.assign(0, pulled);
    fleet.run(Duration::from_millis(1));
    let socket = fleet.calling_socket();
    let drops = |fleet: &Fleet, reason| fleet.nodes[0].relay.counters().drops(reason);
    let rejection = answer(Kind::Rejection(RejectReason::PEER), socket);
    let other_port = SocketAddr::new(NOWHERE.ip(), 9001);
    fleet.inject(0, other_port, &rejection);
    assert_eq!(drops(&fleet, DropReason::WrongPeer), 1);
    fleet.inject(0, NOWHERE, &rejection[..40]);
    assert_eq!(drops(&fleet, DropReason::Malformed), 1);
    let conclusion = answer(Kind::Conclusion, socket);
    fleet.inject(0, NOWHERE, &conclusion);
    assert_eq!(drops(&fleet, DropReason::StaleHandshake), 1);
    assert_eq!(fleet.failures(0), []);
    fleet.inject(0, NOWHERE, &rejection);
    let rejected = RemoteFailure::Rejected(RejectReason::PEER);
    assert_eq!(fleet.failures(0), [rejected]);
    // The call is over: its socket is nobody's.
    fleet.inject(0, NOWHERE, &rejection);
    assert_eq!(drops(&fleet, DropReason::UnknownSocket), 1);
}
