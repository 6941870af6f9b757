use model::session::Role;
use model::settings::{Delivery, Encryption, Resume, Start};
use model::{NodeId, SessionId, StreamId, TenantId, UnixMillis};
use proptest::prelude::*;
use streamhaul_lease::{Claims, Error, LENGTH_MAX, issue};

use crate::sample::{claims, key, keys, node};

#[test]
fn the_largest_claims_fit() {
    let claims = Claims {
        session: SessionId::from_u128(u128::MAX),
        tenant: TenantId::from_u128(u128::MAX),
        stream: StreamId::from_u128(u128::MAX),
        role: Role::Publish,
        not_before: UnixMillis::from_secs(9_800_000_000),
        expires_at: UnixMillis::from_secs(9_999_999_999),
        latency_min_ms: Some(u32::MAX),
        latency_max_ms: Some(u32::MAX),
        rate_bps_max: Some(u64::MAX),
        bytes_max: Some(u64::MAX),
        players_max: Some(u32::MAX),
        hold_seconds: Some(u32::MAX),
        resume: Some(Resume::Cut),
        delivery: Some(Delivery::Buffered),
        start: Some(Start::Keyframe),
        encryption: Some(Encryption::Required),
    };
    let node = NodeId::from_u128(u128::MAX);
    let lease = issue(&key(), &claims, &node).unwrap();
    assert!(lease.len() <= LENGTH_MAX, "{}", lease.len());
    assert_eq!(keys().verify(&lease, &node, claims.not_before), Ok(claims));
}

#[test]
fn identifiers_too_long_for_a_stream_id_are_a_typed_error() {
    let mut claims = claims();
    claims.session = SessionId::parse(&format!("ses_{}", "a".repeat(60))).unwrap();
    claims.tenant = TenantId::parse(&format!("ten_{}", "a".repeat(60))).unwrap();
    claims.stream = StreamId::parse(&format!("str_{}", "a".repeat(60))).unwrap();
    let node = NodeId::parse(&format!("nod_{}", "a".repeat(60))).unwrap();
    let error = issue(&key(), &claims, &node).unwrap_err();
    assert!(matches!(error, Error::TooLong { length } if length > LENGTH_MAX));
}

#[test]
fn a_lease_that_is_never_valid_is_not_issued() {
    let mut claims = claims();
    claims.expires_at = claims.not_before;
    assert_eq!(issue(&key(), &claims, &node()), Err(Error::EmptyWindow));
}

fn one_of<T: Copy>(all: &[T], index: Option<prop::sample::Index>) -> Option<T> {
    index.map(|index| *index.get(all))
}

proptest! {
    #[test]
    fn what_is_issued_is_read_back(
        ids in any::<[u128; 4]>(),
        plays in any::<bool>(),
        begin in 0_i64..9_999_999_000,
        latency in any::<[Option<u32>; 2]>(),
        bounds in any::<[Option<u64>; 2]>(),
        players_max in any::<Option<u32>>(),
        hold_seconds in any::<Option<u32>>(),
        words in any::<[Option<prop::sample::Index>; 4]>(),
    ) {
        let claims = Claims {
            session: SessionId::from_u128(ids[0]),
            tenant: TenantId::from_u128(ids[1]),
            stream: StreamId::from_u128(ids[2]),
            role: if plays { Role::Play } else { Role::Publish },
            not_before: UnixMillis::from_secs(begin),
            expires_at: UnixMillis::from_secs(begin + 300),
            latency_min_ms: latency[0],
            latency_max_ms: latency[1],
            rate_bps_max: bounds[0],
            bytes_max: bounds[1],
            players_max,
            hold_seconds,
            resume: one_of(Resume::ALL, words[0]),
            delivery: one_of(Delivery::ALL, words[1]),
            start: one_of(Start::ALL, words[2]),
            encryption: one_of(Encryption::ALL, words[3]),
        };
        let node = NodeId::from_u128(ids[3]);
        let lease = issue(&key(), &claims, &node).unwrap();
        prop_assert!(lease.len() <= LENGTH_MAX);
        prop_assert_eq!(keys().verify(&lease, &node, claims.not_before), Ok(claims));
    }
}

/// Identifiers in full, no settings: what the first nodes and control planes spoke.
const OLD: &str = "v4.public.eyJzIjoiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMGZlZWQiLCJ0IjoiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDIiLCJtIjoiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDMiLCJyIjoidyIsImYiOjE4MDAwMDAwMDAsImQiOjM2MDAsIngiOjIwMDAsImIiOjIwMDAwMDAwLCJwIjo4fWwgsNKjW2WtmEYCTaWgJes2fP4BM_ChNSLkBzVKwGJdAPgoCR1zUxIiIQ7LXfkaeJ1rHMQD6ya24UJ1nw-IeAk.eyJraWQiOiJlYTRhNmM2M2UyOWMiLCJuIjoiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDkifQ";

#[test]
fn a_lease_of_the_first_kind_is_still_read() {
    let claims = Claims {
        session: SessionId::from_u128(0xfeed),
        resume: None,
        encryption: None,
        ..claims()
    };
    assert_eq!(keys().verify(OLD, &node(), claims.not_before), Ok(claims));
}
