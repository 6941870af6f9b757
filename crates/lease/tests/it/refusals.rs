use std::time::Duration;

use model::{NodeId, UnixMillis};
use proptest::prelude::*;
use streamhaul_lease::{Refusal, SKEW_TOLERATED, SigningKey, issue};

use crate::sample::{BEGIN, END, claims, key, keys, lease, node};

fn verify(token: &str, now: UnixMillis) -> Result<(), Refusal> {
    keys().verify(token, &node(), now).map(drop)
}

#[test]
fn a_good_lease_says_what_was_issued() {
    assert_eq!(keys().verify(&lease(), &node(), BEGIN), Ok(claims()));
}

#[test]
fn what_is_not_a_lease_is_malformed() {
    let long = format!("v4.public.{}", "A".repeat(503));
    let signature_only = format!("v4.public.{}", "A".repeat(86));
    let no_footer = lease().rsplit_once('.').unwrap().0.to_owned();
    let empty_footer = format!("{no_footer}.");
    for text in [
        "",
        "live_00",
        "v4.public.",
        "v4.public.AAAA",
        "v4.public.!!!!.AAAA",
        "v4.local.AAAA",
        "v4.public.é",
    ] {
        assert_eq!(verify(text, BEGIN), Err(Refusal::Malformed), "{text}");
    }
    for text in [&long, &signature_only, &no_footer, &empty_footer] {
        assert_eq!(verify(text, BEGIN), Err(Refusal::Malformed), "{text}");
    }
}

#[test]
fn a_key_that_is_not_in_the_set_is_unknown() {
    let foreign = issue(&SigningKey::from_seed(&[8; 32]), &claims(), &node()).unwrap();
    assert_eq!(verify(&foreign, BEGIN), Err(Refusal::UnknownKey));
}

#[test]
fn a_foreign_signature_under_our_key_id_is_bad() {
    let foreign = issue(&SigningKey::from_seed(&[8; 32]), &claims(), &node()).unwrap();
    let (body, _) = foreign.rsplit_once('.').unwrap();
    let ours = lease();
    let (_, footer) = ours.rsplit_once('.').unwrap();
    assert_eq!(
        verify(&format!("{body}.{footer}"), BEGIN),
        Err(Refusal::BadSignature)
    );
}

#[test]
fn a_lease_for_another_node_is_refused_as_such() {
    let other = NodeId::from_u128(10);
    assert_eq!(
        keys().verify(&lease(), &other, BEGIN),
        Err(Refusal::WrongNode)
    );
}

#[test]
fn another_nodes_lease_with_our_footer_is_a_bad_signature() {
    let other = issue(&key(), &claims(), &NodeId::from_u128(10)).unwrap();
    let (body, _) = other.rsplit_once('.').unwrap();
    let ours = lease();
    let (_, footer) = ours.rsplit_once('.').unwrap();
    assert_eq!(
        verify(&format!("{body}.{footer}"), BEGIN),
        Err(Refusal::BadSignature)
    );
}

#[test]
fn skew_is_tolerated_on_both_ends_and_not_a_moment_more() {
    let moment = Duration::from_millis(1);
    let early = BEGIN.minus(SKEW_TOLERATED);
    assert_eq!(verify(&lease(), early), Ok(()));
    assert_eq!(
        verify(&lease(), early.minus(moment)),
        Err(Refusal::NotYetValid)
    );
    let late = END.plus(SKEW_TOLERATED);
    assert_eq!(verify(&lease(), late.minus(moment)), Ok(()));
    assert_eq!(verify(&lease(), late), Err(Refusal::Expired));
}

#[test]
fn the_ends_of_time_refuse_and_do_not_overflow() {
    assert_eq!(
        verify(&lease(), UnixMillis(i64::MIN)),
        Err(Refusal::NotYetValid)
    );
    assert_eq!(
        verify(&lease(), UnixMillis(i64::MAX)),
        Err(Refusal::Expired)
    );
}

#[test]
fn every_refusal_has_its_own_word() {
    let mut words: Vec<_> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.as_str())
        .collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Refusal::ALL.len());
}

#[test]
fn every_single_flipped_bit_is_refused() {
    let lease = lease();
    for bit in 0..lease.len() * 8 {
        let mut bytes = lease.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(token) = String::from_utf8(bytes) {
            assert!(verify(&token, BEGIN).is_err(), "bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn flipped_bits_are_refused(bits in prop::collection::vec(0_usize..8 * 400, 1..8)) {
        let good = lease();
        let mut bytes = good.clone().into_bytes();
        for bit in bits {
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assume!(bytes != good.as_bytes());
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(verify(&token, BEGIN).is_err());
        }
    }

    #[test]
    fn no_text_panics_the_verifier(text in "(v4\\.public\\.)?[0-9A-Za-z_.-]{0,600}") {
        prop_assert!(verify(&text, BEGIN).is_err());
    }
}
