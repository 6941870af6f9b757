//! Keys, leases and assignments for tests.

use lease::{Claims, KeySet, SigningKey};
use model::session::Role;
use model::{NodeId, SessionId, StreamId, StreamKey, TenantId, UnixMillis};
use streamhaul_relay_core::{Assignment, Grant, KeyedLease};

pub(crate) const WALL_START: UnixMillis = UnixMillis(1_700_000_000_000);

pub(crate) fn node_id() -> NodeId {
    NodeId::from_u128(1)
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

pub(crate) fn key_set() -> KeySet {
    KeySet::of([&signing_key()]).unwrap()
}

pub(crate) fn session_id(session: u8) -> SessionId {
    SessionId::from_u128(u128::from(session))
}

/// The claims of `session` on `stream` for the next `seconds`.
pub(crate) fn claims(session: u8, stream: u8, role: Role, seconds: i64) -> Claims {
    Claims {
        session: session_id(session),
        tenant: TenantId::from_u128(1),
        stream: StreamId::from_u128(u128::from(stream)),
        role,
        not_before: WALL_START,
        expires_at: UnixMillis::from_secs(WALL_START.as_secs() + seconds),
        latency_min_ms: None,
        latency_max_ms: None,
        rate_bps_max: None,
        bytes_max: None,
        players_max: None,
        hold_seconds: None,
        resume: None,
        delivery: None,
        start: None,
        encryption: None,
    }
}

pub(crate) fn sign(claims: &Claims) -> String {
    lease::issue(&signing_key(), claims, &node_id()).unwrap()
}

pub(crate) fn key(session: u8, role: Role) -> StreamKey {
    let mut bytes = [session; 16];
    bytes[15] = role as u8;
    StreamKey::from_bytes(bytes)
}

/// An assignment that lasts `seconds`.
pub(crate) fn assignment_for(session: u8, stream: u8, seconds: i64) -> Assignment {
    let keyed = |role| KeyedLease {
        key: key(session, role),
        lease: sign(&claims(session, stream, role, seconds)),
        passphrase: None,
    };
    Assignment {
        session: session_id(session),
        publish: Some(keyed(Role::Publish)),
        play: Some(keyed(Role::Play)),
        pull: None,
        push: Vec::new(),
    }
}

/// An assignment whose leases are changed by `change`.
pub(crate) fn assignment_with(session: u8, change: impl Fn(&mut Claims)) -> Assignment {
    let mut assignment = assignment(session);
    for (keyed, role) in [
        (&mut assignment.publish, Role::Publish),
        (&mut assignment.play, Role::Play),
    ] {
        let mut changed = claims(session, session, role, 100_000);
        change(&mut changed);
        keyed.as_mut().unwrap().lease = sign(&changed);
    }
    assignment
}

pub(crate) fn assignment(session: u8) -> Assignment {
    assignment_for(session, session, 100_000)
}

pub(crate) fn live(session: u8) -> String {
    format!("live_{}", key(session, Role::Publish).expose())
}

pub(crate) fn play(session: u8) -> String {
    format!("play_{}", key(session, Role::Play).expose())
}

/// What the node makes of an assignment.
pub(crate) fn grant(assignment: &Assignment) -> Grant {
    let verified = assignment.verify(&key_set(), &node_id(), WALL_START);
    verified.expect("the leases verify")
}
