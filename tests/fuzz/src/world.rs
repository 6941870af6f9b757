//! The keys, leases and clock that every input finds the same.

use std::sync::OnceLock;

use lease::{Claims, KeySet, SigningKey};
use model::session::Role;
use model::{NodeId, SessionId, StreamId, StreamKey, TenantId, UnixMillis};
use relay_core::{Assignment, Grant, KeyedLease};
use srt::cookie::Cookies;

pub(crate) const WALL_START: UnixMillis = UnixMillis(1_700_000_000_000);
const SIGNING_SEED: [u8; 32] = [7; 32];
/// The secret of a node's relays.
pub(crate) const RELAY_SEED: [u8; 32] = [3; 32];
/// The secret of a listener by itself.
pub(crate) const COOKIE_KEY: [u8; 16] = [4; 16];
/// The sessions there are; each has a stream of its own.
pub(crate) const SESSIONS: [u8; 3] = [1, 2, 3];
pub(crate) const ROLES: [Role; 2] = [Role::Publish, Role::Play];
/// How long a lease lasts.
const LEASE_SECONDS: i64 = 1000;

/// The cookies that a listener by itself makes.
pub(crate) const fn cookies() -> Cookies {
    Cookies::new(COOKIE_KEY)
}

pub(crate) fn node_id() -> NodeId {
    NodeId::from_u128(1)
}

/// The control plane's keys now; the next ones verify none of the leases.
pub(crate) fn keys(next: bool) -> KeySet {
    static KEYS: OnceLock<[KeySet; 2]> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        [SIGNING_SEED, [8; 32]].map(|seed| {
            KeySet::of([&SigningKey::from_seed(&seed)]).expect("one key is not too many")
        })
    });
    keys[usize::from(next)].clone()
}

pub(crate) fn session_id(session: u8) -> SessionId {
    SessionId::from_u128(u128::from(session))
}

/// The signed lease of a session in a role.
pub(crate) fn lease(session: u8, role: Role) -> &'static str {
    static LEASES: OnceLock<Vec<String>> = OnceLock::new();
    let leases = LEASES.get_or_init(|| {
        let all = SESSIONS
            .iter()
            .flat_map(|session| ROLES.map(|role| (*session, role)));
        all.map(|(session, role)| sign(session, role)).collect()
    });
    &leases[usize::from(session - SESSIONS[0]) * ROLES.len() + role as usize]
}

fn sign(session: u8, role: Role) -> String {
    let claims = Claims {
        session: session_id(session),
        tenant: TenantId::from_u128(1),
        stream: StreamId::from_u128(u128::from(session)),
        role,
        not_before: WALL_START,
        expires_at: UnixMillis::from_secs(WALL_START.as_secs() + LEASE_SECONDS),
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
    };
    lease::issue(&SigningKey::from_seed(&SIGNING_SEED), &claims, &node_id())
        .expect("the claims are in their bounds")
}

fn key(session: u8, role: Role) -> StreamKey {
    let mut bytes = [session; 16];
    bytes[15] = role as u8;
    StreamKey::from_bytes(bytes)
}

/// The control plane's word on a session, verified.
pub(crate) fn grant(session: u8) -> Grant {
    static GRANTS: OnceLock<[Grant; SESSIONS.len()]> = OnceLock::new();
    let verify = |session| assignment(session).verify(&keys(false), &node_id(), WALL_START);
    let grants = GRANTS
        .get_or_init(|| SESSIONS.map(|session| verify(session).expect("the leases are good")));
    grants[usize::from(session - SESSIONS[0])].clone()
}

fn assignment(session: u8) -> Assignment {
    let keyed = |role| KeyedLease {
        key: key(session, role),
        lease: lease(session, role).to_owned(),
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

/// What a caller with a session's key says that it wants.
pub(crate) fn stream_id(session: u8, role: Role) -> String {
    let prefix = match role {
        Role::Publish => "live",
        Role::Play => "play",
    };
    format!("{prefix}_{}", key(session, role).expose())
}
