//! One good lease to change in tests.

use model::session::Role;
use model::settings::{Encryption, Resume};
use model::{NodeId, SessionId, StreamId, TenantId, UnixMillis};
use streamhaul_lease::{Claims, KeySet, SigningKey, issue};

pub(crate) const BEGIN: UnixMillis = UnixMillis::from_secs(1_800_000_000);
pub(crate) const END: UnixMillis = UnixMillis::from_secs(1_800_003_600);

pub(crate) fn claims() -> Claims {
    Claims {
        session: SessionId::from_u128(1),
        tenant: TenantId::from_u128(2),
        stream: StreamId::from_u128(3),
        role: Role::Publish,
        not_before: BEGIN,
        expires_at: END,
        latency_min_ms: None,
        latency_max_ms: Some(2_000),
        rate_bps_max: Some(20_000_000),
        bytes_max: None,
        players_max: Some(8),
        hold_seconds: None,
        resume: Some(Resume::Cut),
        delivery: None,
        start: None,
        encryption: Some(Encryption::Optional),
    }
}

pub(crate) fn node() -> NodeId {
    NodeId::from_u128(9)
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

pub(crate) fn keys() -> KeySet {
    KeySet::of([&key()]).expect("one key is a set")
}

pub(crate) fn lease() -> String {
    issue(&key(), &claims(), &node()).expect("the sample fits")
}
