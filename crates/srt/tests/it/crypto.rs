//! Encryption: against libsrt's captured sessions, and against ourselves under every misfortune.

use std::time::Duration;

use proptest::prelude::*;
use streamhaul_srt::Seq;
use streamhaul_srt::crypto::{
    Error, Kek, KeyLength, KeyMaterial, NoKey, Parity, ReceiveKeys, RefreshAfter, Sek, SekPair,
    SendKeys,
};
use streamhaul_srt::packet::KeyParity;
use streamhaul_srt::reject::RejectReason;

use crate::captures::{AES_128, AES_256, WRONG_PASSPHRASE, data, handshakes, read};

const PASSPHRASE: &[u8] = b"correct-horse-battery";
const SALT: [u8; 16] = *b"sixteen of salt!";
const ROUND_TRIP: Duration = Duration::from_millis(80);
const LENGTHS: [KeyLength; 3] = [KeyLength::Bits128, KeyLength::Bits192, KeyLength::Bits256];

/// The key material of a captured conclusion.
fn captured(name: &str) -> KeyMaterial {
    let datagrams = read(name);
    let extensions = handshakes(&datagrams)[2].1.extensions().unwrap();
    KeyMaterial::parse(extensions.key_material.unwrap()).unwrap()
}

fn kek_for(message: &KeyMaterial) -> Kek {
    Kek::derive(PASSPHRASE, *message.salt(), message.key_length())
}

fn sek(length: KeyLength, fill: u8) -> Sek {
    Sek::new(length, &[fill; 32])
}

fn even(length: KeyLength) -> SekPair {
    SekPair {
        even: Some(sek(length, 1)),
        odd: None,
    }
}

/// Both ends of a connection that agreed on an even key.
fn connected(length: KeyLength, refresh: RefreshAfter) -> (SendKeys, ReceiveKeys) {
    let kek = Kek::derive(PASSPHRASE, SALT, length);
    let receiver = ReceiveKeys::new(kek.clone(), &even(length));
    (SendKeys::new(kek, even(length), refresh), receiver)
}

#[test]
fn captured_sessions_decrypt_to_what_was_sent() {
    for (name, length) in [(AES_128, KeyLength::Bits128), (AES_256, KeyLength::Bits256)] {
        let message = captured(name);
        assert_eq!(message.key_length(), length, "{name}");
        let kek = kek_for(&message);
        let keys = ReceiveKeys::new(kek.clone(), &kek.unwrap(&message).unwrap());
        let datagrams = read(name);
        let packets = data(&datagrams);
        assert_eq!(packets.len(), 60, "{name}");
        for (header, payload) in packets {
            let mut payload = payload.to_vec();
            keys.decrypt(header.key, header.seq, &mut payload).unwrap();
            assert_eq!(payload, [b'G'; 1316], "{name}");
        }
    }
}

#[test]
fn captured_sessions_are_encrypted_to_the_same_bytes() {
    for name in [AES_128, AES_256] {
        let message = captured(name);
        let kek = kek_for(&message);
        let seks = kek.unwrap(&message).unwrap();
        let mut keys = SendKeys::new(kek, seks, RefreshAfter::default());
        for (header, expected) in data(&read(name)) {
            let mut payload = [b'G'; 1316];
            let parity = keys.encrypt(header.seq, &mut payload);
            assert_eq!(KeyParity::from(parity), header.key, "{name}");
            assert_eq!(payload, expected, "{name}");
        }
    }
}

#[test]
fn captured_key_material_is_built_again() {
    for name in [AES_128, AES_256] {
        let message = captured(name);
        let kek = kek_for(&message);
        let built = kek.wrap(&kek.unwrap(&message).unwrap());
        assert_eq!(built.as_bytes(), message.as_bytes(), "{name}");
    }
}

#[test]
fn another_passphrase_unwraps_nothing() {
    let message = captured(WRONG_PASSPHRASE);
    let refused = kek_for(&message).unwrap(&message).unwrap_err();
    assert_eq!(refused, Error::BadSecret);
    assert_eq!(refused.reject_reason(), RejectReason::BAD_SECRET);
}

#[test]
fn every_field_of_key_material_is_checked() {
    let message = captured(AES_128);
    let refusal = |at: usize, value: u8| {
        let mut bytes = message.as_bytes().to_vec();
        bytes[at] = value;
        KeyMaterial::parse(&bytes)
            .map_err(Error::reject_reason)
            .err()
    };
    let malformed = Some(RejectReason::UNSECURE);
    for (at, value, what) in [
        (0, 0x22, "version"),
        (0, 0x11, "type"),
        (0, 0x92, "the bit before the version"),
        (1, 0x21, "signature"),
        (2, 0x28, "signature"),
        (3, 0, "no key"),
        (3, 3, "two keys in the room of one"),
        (7, 1, "KEK index"),
        (8, 0, "no cipher"),
        (8, 1, "ECB"),
        (8, 3, "CBC"),
        (9, 1, "authentication of CTR"),
        (10, 1, "encapsulation in a transport stream"),
        (14, 2, "salt length"),
        (15, 5, "no key length of AES"),
        (15, 8, "longer keys than there is room for"),
    ] {
        assert_eq!(refusal(at, value), malformed, "{what}");
    }
    assert_eq!(refusal(15, 0), Some(RejectReason::BAD_SECRET));
    assert_eq!(refusal(3, 2), None, "the odd key is as good");
    assert_eq!(refusal(3, 0xfd), None, "reserved bits");
    assert_eq!(refusal(11, 9), None, "reserved byte");
}

#[test]
fn key_material_for_gcm_is_another_crypto_mode() {
    let mut bytes = captured(AES_128).as_bytes().to_vec();
    (bytes[8], bytes[9]) = (4, 1);
    let refused = KeyMaterial::parse(&bytes).unwrap_err();
    assert_eq!(refused, Error::OtherMode);
    assert_eq!(refused.reject_reason(), RejectReason::CRYPTO);
}

#[test]
fn key_material_of_a_wrong_length_is_refused() {
    let bytes = captured(AES_256).as_bytes().to_vec();
    for length in 0..bytes.len() {
        let refused = KeyMaterial::parse(&bytes[..length]).unwrap_err();
        let expected = if length <= 16 {
            Error::Empty
        } else {
            Error::Malformed
        };
        assert_eq!(refused, expected, "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(KeyMaterial::parse(&longer), Err(Error::Malformed));
}

#[test]
fn a_receiver_keeps_both_keys_and_lacks_what_did_not_come() {
    let (_, mut receiver) = connected(KeyLength::Bits192, RefreshAfter::default());
    let kek = Kek::derive(PASSPHRASE, SALT, KeyLength::Bits192);
    let decrypted = |receiver: &ReceiveKeys, key| {
        let mut payload = *b"payload";
        receiver.decrypt(key, Seq::new(9), &mut payload)?;
        Ok(payload)
    };
    assert_eq!(decrypted(&receiver, KeyParity::Odd), Err(NoKey));
    assert_eq!(decrypted(&receiver, KeyParity::Clear), Err(NoKey));
    assert_eq!(decrypted(&receiver, KeyParity::Both), Err(NoKey));
    let before = decrypted(&receiver, KeyParity::Even);
    let odd = SekPair {
        even: None,
        odd: Some(sek(KeyLength::Bits192, 2)),
    };
    receiver.accept(&kek.wrap(&odd)).unwrap();
    let after = decrypted(&receiver, KeyParity::Odd);
    assert_eq!(decrypted(&receiver, KeyParity::Even), before);
    assert!(after.is_ok() && after != before);
}

#[test]
fn a_refresh_under_another_passphrase_changes_nothing() {
    let (mut sender, mut receiver) = connected(KeyLength::Bits128, RefreshAfter::default());
    let wrong = Kek::derive(b"another passphrase", SALT, KeyLength::Bits128);
    let refused = receiver.accept(&wrong.wrap(&even(KeyLength::Bits128)));
    assert_eq!(refused, Err(Error::BadSecret));
    let mut payload = *b"payload";
    let parity = sender.encrypt(Seq::new(1), &mut payload);
    receiver
        .decrypt(parity.into(), Seq::new(1), &mut payload)
        .unwrap();
    assert_eq!(&payload, b"payload");
}

#[test]
fn a_new_salt_needs_a_new_kek() {
    let (_, mut receiver) = connected(KeyLength::Bits128, RefreshAfter::default());
    let kek = Kek::derive(PASSPHRASE, [9; 16], KeyLength::Bits256);
    let seks = even(KeyLength::Bits256);
    let message = kek.wrap(&seks);
    assert!(!receiver.fits(&message));
    assert_eq!(receiver.accept(&message), Err(Error::BadSecret));
    receiver.replace(kek.clone(), &kek.unwrap(&message).unwrap());
    assert!(receiver.fits(&message));
    let mut payload = *b"payload";
    let mut sender = SendKeys::new(kek, seks, RefreshAfter::default());
    let parity = sender.encrypt(Seq::new(1), &mut payload);
    receiver
        .decrypt(parity.into(), Seq::new(1), &mut payload)
        .unwrap();
    assert_eq!(&payload, b"payload");
}

#[test]
fn an_announcement_is_repeated_until_it_is_confirmed() {
    let refresh = RefreshAfter {
        packets: 10,
        announced_before: 4,
    };
    let (mut sender, _) = connected(KeyLength::Bits128, refresh);
    let start = crate::now();
    for seq in 0..6 {
        assert_eq!(sender.wants_key(), None, "{seq}");
        sender.encrypt(Seq::new(seq), &mut [0; 16]);
    }
    assert_eq!(sender.wants_key(), Some(KeyLength::Bits128));
    assert!(sender.poll_announcement(start, ROUND_TRIP).is_none());
    sender.announce(&[7; 32]);
    assert_eq!(sender.wants_key(), None);
    let message = sender
        .poll_announcement(start, ROUND_TRIP)
        .cloned()
        .unwrap();
    let again_at = sender.poll_timeout().unwrap();
    assert_eq!(again_at, start + ROUND_TRIP * 3 / 2);
    let early = again_at - Duration::from_millis(1);
    assert!(sender.poll_announcement(early, ROUND_TRIP).is_none());
    assert_eq!(
        sender.poll_announcement(again_at, ROUND_TRIP),
        Some(&message)
    );
    assert!(!sender.handle_answer(&message.as_bytes()[4..]));
    assert!(sender.handle_answer(message.as_bytes()));
    assert_eq!(sender.poll_timeout(), None);
    assert!(
        sender
            .poll_announcement(again_at + ROUND_TRIP, ROUND_TRIP)
            .is_none()
    );
}

#[test]
fn the_next_key_waits_for_its_confirmation() {
    let refresh = RefreshAfter {
        packets: 10,
        announced_before: 4,
    };
    let (mut sender, _) = connected(KeyLength::Bits256, refresh);
    let encrypt = |sender: &mut SendKeys| sender.encrypt(Seq::new(5), &mut [0; 16]);
    for _ in 0..6 {
        encrypt(&mut sender);
    }
    sender.announce(&[7; 32]);
    for _ in 0..20 {
        assert_eq!(encrypt(&mut sender), Parity::Even);
    }
    let message = sender.poll_announcement(crate::now(), ROUND_TRIP).cloned();
    assert!(sender.handle_answer(message.unwrap().as_bytes()));
    assert_eq!(encrypt(&mut sender), Parity::Odd);
    assert_eq!(sender.wants_key(), None, "a new key has its own time");
}

fn length() -> impl Strategy<Value = KeyLength> {
    prop::sample::select(LENGTHS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_are_unwrapped_as_wrapped(length in length(), keys: [[u8; 32]; 2], holds in 1..4_u8) {
        let kek = Kek::derive(PASSPHRASE, SALT, length);
        let key = |bit: u8| {
            let key = &keys[usize::from(bit >> 1)];
            (holds & bit != 0).then(|| Sek::new(length, key))
        };
        let seks = SekPair { even: key(1), odd: key(2) };
        let message = kek.wrap(&seks);
        prop_assert_eq!(KeyMaterial::parse(message.as_bytes()), Ok(message.clone()));
        prop_assert_eq!(kek.unwrap(&message), Ok(seks));
    }

    #[test]
    fn no_bytes_panic_key_material(
        at in any::<prop::sample::Index>(), value: u8,
        noise in prop::collection::vec(any::<u8>(), 0..140),
    ) {
        let _ = KeyMaterial::parse(&noise);
        let mut bytes = captured(AES_256).as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(message) = KeyMaterial::parse(&bytes) {
            prop_assert_eq!(message.as_bytes(), &bytes[..]);
        }
    }

    /// Whatever announcements and answers are lost, whatever is sent again and however late: what
    /// arrives can be decrypted.
    #[test]
    fn every_packet_of_every_refresh_can_be_read(
        length in length(),
        packets in 2..20_u64, before in 0..20_u64,
        first in any::<u32>(),
        fates in prop::collection::vec((any::<bool>(), any::<bool>(), 0..40_u64), 200),
    ) {
        let refresh = RefreshAfter { packets, announced_before: before };
        let (mut sender, mut receiver) = connected(length, refresh);
        let mut now = crate::now();
        let mut switches = 0;
        let mut in_use = Parity::Even;
        for (step, (request_lost, answer_lost, back)) in (0_u32..).zip(fates) {
            now += Duration::from_millis(60);
            if sender.wants_key().is_some() {
                sender.announce(&[step as u8; 32]);
            }
            if let Some(message) = sender.poll_announcement(now, ROUND_TRIP).cloned()
                && !request_lost
            {
                prop_assert_eq!(receiver.accept(&message), Ok(()));
                if !answer_lost {
                    sender.handle_answer(message.as_bytes());
                }
            }
            for seq in [step, step.saturating_sub(back as u32)] {
                let seq = Seq::new(first.wrapping_add(seq));
                let mut payload = [0x47; 100];
                let parity = sender.encrypt(seq, &mut payload);
                prop_assert_ne!(payload, [0x47; 100]);
                switches += u32::from(parity != in_use);
                in_use = parity;
                prop_assert_eq!(receiver.decrypt(parity.into(), seq, &mut payload), Ok(()));
                prop_assert_eq!(payload, [0x47; 100]);
            }
        }
        prop_assert!(switches > 1);
    }
}
