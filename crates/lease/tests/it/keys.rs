use streamhaul_lease::{InvalidKey, KEYS_MAX, KeySet, Kid, SigningKey, issue};

use crate::sample::{BEGIN, claims, key, lease, node};

#[test]
fn debug_of_a_signing_key_shows_its_name_only() {
    let shown = format!("{:?}", key());
    assert_eq!(
        shown,
        format!("SigningKey {{ kid: \"{}\", .. }}", key().kid())
    );
    assert!(!shown.contains("7, 7") && !shown.contains("0707"));
}

#[test]
fn current_and_next_key_are_both_believed() {
    let next = SigningKey::from_seed(&[8; 32]);
    let set = KeySet::of([&key(), &next]).unwrap();
    let signed_by_next = issue(&next, &claims(), &node()).unwrap();
    assert!(set.verify(&lease(), &node(), BEGIN).is_ok());
    assert!(set.verify(&signed_by_next, &node(), BEGIN).is_ok());
}

#[test]
fn a_set_survives_taking_it_apart() {
    let set = KeySet::of([&key(), &SigningKey::from_seed(&[8; 32])]).unwrap();
    let parts: Vec<_> = set
        .iter()
        .map(|(kid, public)| (kid.clone(), public))
        .collect();
    assert_eq!(KeySet::new(parts), Ok(set));
}

#[test]
fn an_empty_set_believes_nobody() {
    let refused = KeySet::default().verify(&lease(), &node(), BEGIN);
    assert_eq!(refused.unwrap_err().as_str(), "unknown_key");
}

#[test]
fn a_key_anyone_can_sign_for_is_not_taken() {
    let kid = Kid::parse("weak").unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(
        KeySet::new([(kid.clone(), identity)]),
        Err(InvalidKey::PublicKey)
    );
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert_eq!(KeySet::new([(kid, no_point)]), Err(InvalidKey::PublicKey));
}

#[test]
fn a_name_is_used_once_and_a_set_is_bounded() {
    assert_eq!(KeySet::of([&key(), &key()]), Err(InvalidKey::Duplicate));
    let many: Vec<_> = (0..=KEYS_MAX as u8)
        .map(|n| SigningKey::from_seed(&[n; 32]))
        .collect();
    assert_eq!(KeySet::of(&many), Err(InvalidKey::TooMany));
    assert_eq!(KeySet::of(&many[1..]).unwrap().len(), KEYS_MAX);
}

#[test]
fn names_are_short_and_plain() {
    assert!(Kid::parse("k-1_A").is_ok());
    for text in ["", "a b", "a\"b", "12345678901234567"] {
        assert_eq!(Kid::parse(text), Err(InvalidKey::Kid), "{text}");
    }
}
