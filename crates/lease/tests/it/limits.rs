use model::session::Role;
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

proptest! {
    #[test]
    fn what_is_issued_is_read_back(
        ids in any::<[u128; 4]>(),
        plays in any::<bool>(),
        begin in 0_i64..9_999_999_000,
        latency in any::<[Option<u32>; 2]>(),
        bounds in any::<[Option<u64>; 2]>(),
        players_max in any::<Option<u32>>(),
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
        };
        let node = NodeId::from_u128(ids[3]);
        let lease = issue(&key(), &claims, &node).unwrap();
        prop_assert!(lease.len() <= LENGTH_MAX);
        prop_assert_eq!(keys().verify(&lease, &node, claims.not_before), Ok(claims));
    }
}
