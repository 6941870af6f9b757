//! Who is let in, who is refused, and with which code.

use lease::SigningKey;
use model::session::Role;
use model::{NodeId, UnixMillis};
use srt::RejectReason;
use streamhaul_relay_core::{
    Assignment, Command, CommandError, Config, Event, KeyedLease, Limits, PortRole, RefusalReason,
};

use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{
    WALL_START, assignment, assignment_for, claims, grant, key, key_set, live, node_id, play,
    session_id, sign,
};
use crate::world::World;

/// A relay with one socket of each role and sessions 1 and 2.
fn world() -> World {
    world_with(Limits::default())
}

fn world_with(limits: Limits) -> World {
    let sockets = vec![PortRole::Any, PortRole::Publish, PortRole::Play];
    let mut world = World::with(Config {
        sockets,
        limits,
        ..Config::default()
    });
    world.assign(assignment(1));
    world.assign(assignment(2));
    world
}

fn call(world: &mut World, spec: Spec) -> State {
    let caller = world.player(spec, &delayed(1));
    world.run_ms(100);
    let state = world.state(caller);
    // Its address is free for the next caller.
    world.peers.remove(caller);
    state
}

fn publish(world: &mut World, spec: Spec) -> State {
    let caller = world.publisher(spec, 0, &delayed(1));
    world.run_ms(100);
    world.state(caller)
}

fn assert_refused(world: &mut World, spec: Spec, code: u32, reason: RefusalReason) {
    let before = world.relay.counters().refusals(reason);
    let state = call(world, spec);
    let expected = RejectReason::new(code).unwrap();
    assert_eq!(state, State::Refused(expected), "{}", reason.as_str());
    assert_eq!(world.relay.counters().refusals(reason), before + 1);
    let reported = world.events.iter().rev().find_map(|event| match event {
        Event::Refused { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reported, Some(reason));
}

#[test]
fn unknown_keys_and_unreadable_stream_ids() {
    let mut world = world();
    for unknown in [
        "live_00000000000000000000000000000000",
        "live_x",
        "x",
        "host/app/key",
    ] {
        assert_refused(
            &mut world,
            Spec::new(9, unknown),
            1401,
            RefusalReason::UnknownKey,
        );
    }
    for unreadable in ["", "#!:{x}", "#!::m=publish", "live_"] {
        assert_refused(
            &mut world,
            Spec::new(9, unreadable),
            1400,
            RefusalReason::BadStreamId,
        );
    }
}

#[test]
fn a_probe_is_refused_as_one() {
    let probe = Spec::new(9, model::probe::STREAM_ID);
    assert_refused(&mut world(), probe, 1400, RefusalReason::Probe);
}

#[test]
fn a_key_works_in_its_own_role_and_on_its_own_port_only() {
    let mut world = world();
    let publish_key = key(1, Role::Publish).expose().to_owned();
    let play_key = key(1, Role::Play).expose().to_owned();
    for (stream_id, socket) in [
        (format!("play_{publish_key}"), 0),
        (format!("live_{play_key}"), 0),
        (publish_key.clone(), 2),
        (live(1), 2),
        (play(1), 1),
        (format!("#!::r={play_key},m=publish"), 0),
    ] {
        let spec = Spec {
            socket,
            ..Spec::new(9, stream_id)
        };
        assert_refused(&mut world, spec, 1403, RefusalReason::WrongRole);
    }
    let spec = Spec {
        socket: 1,
        ..Spec::new(1, publish_key.clone())
    };
    assert!(matches!(publish(&mut world, spec), State::Connected { .. }));
    let spec = Spec {
        socket: 2,
        ..Spec::new(2, play_key.clone())
    };
    assert!(matches!(call(&mut world, spec), State::Connected { .. }));
    let spec = Spec::new(3, format!("#!::u=x,r={play_key}"));
    assert!(matches!(call(&mut world, spec), State::Connected { .. }));
    assert_eq!(world.relay.counters().admitted, 3, "and none refused");
}

#[test]
fn a_player_without_a_publisher() {
    let mut world = world();
    assert_refused(
        &mut world,
        Spec::new(9, play(1)),
        1404,
        RefusalReason::NoPublisher,
    );
}

#[test]
fn another_session_on_a_live_stream() {
    let mut world = world();
    publish(&mut world, Spec::new(1, live(1)));
    world.assign(assignment_for(5, 1, 1000));
    assert_refused(
        &mut world,
        Spec::new(9, live(5)),
        1409,
        RefusalReason::Conflict,
    );
    let session = session_id(1);
    world.command(Command::Revoke {
        session,
        reason: "requested".into(),
    });
    assert!(matches!(
        publish(&mut world, Spec::new(4, live(5))),
        State::Connected { .. }
    ));
}

#[test]
fn a_full_stream_and_a_full_node() {
    let limits = Limits {
        players_per_stream_max: 2,
        connections_max: 4,
        ..Limits::default()
    };
    let mut world = world_with(limits);
    publish(&mut world, Spec::new(1, live(1)));
    for host in [2, 3] {
        call(&mut world, Spec::new(host, play(1)));
    }
    assert_refused(
        &mut world,
        Spec::new(9, play(1)),
        1402,
        RefusalReason::SessionFull,
    );
    publish(&mut world, Spec::new(4, live(2)));
    assert_refused(
        &mut world,
        Spec::new(9, play(2)),
        1402,
        RefusalReason::OverCapacity,
    );
    let takeover = publish(&mut world, Spec::new(5, live(2)));
    assert!(
        matches!(takeover, State::Connected { .. }),
        "a takeover needs no more room"
    );
}

#[test]
fn a_lease_may_allow_fewer_players() {
    let mut world = world();
    publish(&mut world, Spec::new(1, live(1)));
    let mut own = claims(1, 1, Role::Play, 1000);
    own.players_max = Some(1);
    assert!(matches!(
        call(&mut world, Spec::new(2, sign(&own))),
        State::Connected { .. }
    ));
    assert_refused(
        &mut world,
        Spec::new(9, sign(&own)),
        1402,
        RefusalReason::SessionFull,
    );
}

#[test]
fn a_draining_node_keeps_what_it_has_and_takes_nothing_new() {
    let mut world = world();
    publish(&mut world, Spec::new(1, live(1)));
    world.command(Command::Drain(true));
    assert_refused(
        &mut world,
        Spec::new(9, live(2)),
        1503,
        RefusalReason::Draining,
    );
    assert_refused(
        &mut world,
        Spec::new(9, play(2)),
        1503,
        RefusalReason::Draining,
    );
    assert!(matches!(
        call(&mut world, Spec::new(2, play(1))),
        State::Connected { .. }
    ));
    assert!(matches!(
        publish(&mut world, Spec::new(3, live(1))),
        State::Connected { .. }
    ));
    let now = world.now;
    let new = world
        .relay
        .handle_command(now, Command::Assign(Box::new(grant(&assignment(3)))));
    assert_eq!(new, Err(CommandError::Draining));
    world.assign(assignment(2));
    world.command(Command::Drain(false));
    assert!(matches!(
        publish(&mut world, Spec::new(4, live(2))),
        State::Connected { .. }
    ));
}

#[test]
fn sessions_are_bounded() {
    let limits = Limits {
        sessions_max: 2,
        ..Limits::default()
    };
    let mut world = world_with(limits);
    let now = world.now;
    let third = world
        .relay
        .handle_command(now, Command::Assign(Box::new(grant(&assignment(3)))));
    assert_eq!(third, Err(CommandError::OverCapacity));
    let token = sign(&claims(3, 3, Role::Publish, 1000));
    assert_refused(
        &mut world,
        Spec::new(9, token.clone()),
        1402,
        RefusalReason::OverCapacity,
    );
    world.command(Command::Limits { sessions_max: 3 });
    assert!(matches!(
        publish(&mut world, Spec::new(1, token)),
        State::Connected { .. }
    ));
    assert_eq!(world.relay.held().len(), 3);
}

#[test]
fn latency_is_bounded_by_the_node_and_by_the_lease() {
    let mut world = world();
    let greedy = Spec {
        latency_ms: 10_001,
        ..Spec::new(9, live(1))
    };
    assert_refused(&mut world, greedy, 1406, RefusalReason::LatencyTooHigh);
    let mut own = claims(1, 1, Role::Publish, 1000);
    (own.latency_min_ms, own.latency_max_ms) = (Some(500), Some(900));
    let greedy = Spec {
        latency_ms: 901,
        ..Spec::new(9, sign(&own))
    };
    assert_refused(&mut world, greedy, 1406, RefusalReason::LatencyTooHigh);
    let modest = publish(&mut world, Spec::new(1, sign(&own)));
    let State::Connected { latency, .. } = modest else {
        panic!("{modest:?}")
    };
    assert_eq!(latency.receive_ms, 500);
    let player = call(
        &mut world,
        Spec {
            latency_ms: 2000,
            ..Spec::new(2, play(1))
        },
    );
    let State::Connected { latency, .. } = player else {
        panic!("{player:?}")
    };
    assert_eq!(
        latency.send_ms, 2000,
        "never less than the player asked for"
    );
}

#[test]
fn leases_as_stream_ids_are_refused_by_reason() {
    let mut world = world();
    let good = claims(3, 3, Role::Publish, 1000);
    let mut early = good.clone();
    early.not_before = UnixMillis::from_secs(WALL_START.as_secs() + 500);
    let late = claims(3, 3, Role::Publish, -31);
    let late = lease::Claims {
        not_before: UnixMillis(0),
        ..late
    };
    let token = sign(&good);
    let flipped = {
        let mut bytes = token.clone().into_bytes();
        bytes[40] = if bytes[40] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let stranger = SigningKey::from_seed(&[8; 32]);
    let unknown = lease::issue(&stranger, &good, &node_id()).unwrap();
    let elsewhere =
        lease::issue(&crate::leases::signing_key(), &good, &NodeId::from_u128(2)).unwrap();
    for (token, code, reason) in [
        (sign(&early), 1401, RefusalReason::LeaseNotYetValid),
        (sign(&late), 1401, RefusalReason::LeaseExpired),
        (flipped, 1401, RefusalReason::BadSignature),
        (unknown, 1401, RefusalReason::UnknownKey),
        (elsewhere, 1403, RefusalReason::WrongNode),
        (
            "v4.public.nonsense".to_owned(),
            1401,
            RefusalReason::MalformedLease,
        ),
        (format!("play_{token}"), 1403, RefusalReason::WrongRole),
    ] {
        assert_refused(&mut world, Spec::new(9, token), code, reason);
    }
    assert!(matches!(
        publish(&mut world, Spec::new(1, token)),
        State::Connected { .. }
    ));
}

#[test]
fn an_assignment_whose_lease_does_not_fit_is_not_granted() {
    let verify = |wrong: &Assignment| wrong.verify(&key_set(), &node_id(), WALL_START).map(|_| ());
    let mut wrong = assignment(3);
    wrong.publish = Some(KeyedLease {
        key: key(3, Role::Publish),
        lease: sign(&claims(4, 4, Role::Publish, 1000)),
        passphrase: None,
    });
    assert_eq!(verify(&wrong), Err(CommandError::Mismatch));
    wrong.publish = Some(KeyedLease {
        key: key(3, Role::Publish),
        lease: "x".into(),
        passphrase: None,
    });
    let malformed = CommandError::Lease(lease::Refusal::Malformed);
    assert_eq!(verify(&wrong), Err(malformed));
}

#[test]
fn streams_on_hold_are_bounded_too() {
    let limits = Limits {
        sessions_max: 1,
        ..Limits::default()
    };
    let mut world = World::with(Config {
        limits,
        ..Config::default()
    });
    let token = |session| sign(&claims(session, session, Role::Publish, 1000));
    let first = world.publisher(Spec::new(1, token(1)), 0, &delayed(1));
    world.run_ms(100);
    let now = world.now;
    let shutdown = world.published(first).shutdown(now);
    world.inject(world.ingress(first), &shutdown);
    assert!(world.relay.held().is_empty());
    let reason = RefusalReason::OverCapacity;
    assert_refused(&mut world, Spec::new(9, token(2)), 1402, reason);
    let back = publish(&mut world, Spec::new(3, token(1)));
    assert!(matches!(back, State::Connected { .. }));
}
