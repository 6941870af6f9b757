//! The caller takes what real listeners answered, refuses what it cannot use, and believes nobody
//! but the one it called.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use streamhaul_srt::caller::{
    Agreement, Caller, Error, Failure, Ignored, Progress, REPEAT_INTERVAL, Settings,
};
use streamhaul_srt::crypto::{Kek, KeyLength, KeyMaterial, Sek, SekPair};
use streamhaul_srt::handshake::{
    Blocks, FEATURES_LEN, Features, HSREQ, HSRSP, Handshake, KMRSP, Kind, Latency, StreamId, flags,
    write_block, write_features,
};
use streamhaul_srt::listener::{Listener, RECEIVE_WINDOW, SRT_FLAGS, SRT_VERSION, Step};
use streamhaul_srt::packet::{Control, ControlHeader, Packet};
use streamhaul_srt::reject::RejectReason;
use streamhaul_srt::{Seq, SocketId, Timestamp};

use crate::captures::{AES_128, AES_256, CLEAR, FFMPEG, WRONG_PASSPHRASE, handshakes, read};

const PATIENCE: Duration = Duration::from_secs(3);

/// What a captured caller would have been made with.
fn settings(steps: &[(&testkit::capture::Datagram, Handshake<'_>)]) -> Settings {
    let (_, knock) = steps[0];
    let (datagram, conclusion) = steps[2];
    let extensions = conclusion.extensions().unwrap();
    let key = extensions.key_material;
    Settings {
        to: datagram.to,
        socket_id: knock.socket_id,
        isn: knock.isn,
        stream_id: extensions.stream_id,
        latency: extensions.request.unwrap().latency,
        key: key.map(|message| KeyMaterial::parse(message).unwrap()),
        patience: PATIENCE,
    }
}

fn parse(bytes: &[u8]) -> (ControlHeader, Handshake<'_>) {
    match Packet::parse(bytes).unwrap() {
        Packet::Control {
            header,
            body: Control::Handshake(handshake),
        } => (header, handshake),
        other => panic!("{other:?}"),
    }
}

fn answer(caller: &mut Caller, now: Instant, bytes: &[u8]) -> Result<Progress, Error> {
    let (header, handshake) = parse(bytes);
    caller.handle(now, header, &handshake)
}

/// A caller that has been answered once, by a listener whose cookie is 77.
fn concluding(now: Instant, settings: Settings) -> Caller {
    let mut caller = Caller::new(settings, now);
    let request = caller.poll_request(now, Timestamp(5)).unwrap().to_vec();
    let (_, knock) = parse(&request);
    let reply = Handshake {
        version: 5,
        extension: 0x4a17,
        cookie: 77,
        ..knock
    };
    let header = to(caller.socket_id());
    let progress = caller.handle(now, header, &reply);
    assert_eq!(progress, Ok(Progress::Concluding));
    caller
}

fn to(destination: SocketId) -> ControlHeader {
    ControlHeader {
        timestamp: Timestamp(9),
        destination,
    }
}

fn plain() -> Settings {
    Settings {
        to: "192.0.2.7:9000".parse().unwrap(),
        socket_id: SocketId(0x1234),
        isn: Seq::new(1000),
        stream_id: StreamId::new("play_0123"),
        latency: Latency::both(200),
        key: None,
        patience: PATIENCE,
    }
}

const AGREED: Features = Features {
    version: SRT_VERSION,
    flags: SRT_FLAGS,
    latency: Latency {
        receive_ms: 0,
        send_ms: 450,
    },
};

/// The answer of a listener that agrees.
fn agreement(blocks: &[u8]) -> Handshake<'_> {
    Handshake {
        version: 5,
        encryption: 0,
        extension: 1,
        isn: Seq::new(1000),
        mtu: 1500,
        flow_window: 8192,
        kind: Kind::Conclusion,
        socket_id: SocketId(0x777),
        cookie: 77,
        peer_ip: [0; 16],
        blocks: Blocks(blocks),
    }
}

fn response(features: &Features) -> [u8; FEATURES_LEN] {
    let mut blocks = [0; FEATURES_LEN];
    write_features(&mut blocks, HSRSP, features);
    blocks
}

#[test]
fn captured_listeners_are_understood() {
    for name in [CLEAR, AES_128, AES_256, FFMPEG] {
        let (now, datagrams) = (crate::now(), read(name));
        let steps = handshakes(&datagrams);
        let mut caller = Caller::new(settings(&steps), now);
        caller.poll_request(now, Timestamp(1)).unwrap();
        let progress = answer(&mut caller, now, &steps[1].0.payload);
        assert_eq!(progress, Ok(Progress::Concluding), "{name}");
        caller.poll_request(now, Timestamp(2)).unwrap();
        let (datagram, reply) = steps[3];
        let (header, _) = parse(&datagram.payload);
        let features = reply.extensions().unwrap().response.unwrap();
        let expected = Agreement {
            peer_id: reply.socket_id,
            isn: steps[0].1.isn,
            latency: Latency::both(200),
            flags: 0xbf,
            version: features.version,
            payload_max: 1456,
            flow_window: 8192,
            timestamp: header.timestamp,
        };
        let progress = answer(&mut caller, now, &datagram.payload);
        assert_eq!(progress, Ok(Progress::Connected(expected)), "{name}");
        assert_eq!(caller.poll_timeout(), None, "{name}");
        let again = answer(&mut caller, now, &datagram.payload);
        assert_eq!(again, Err(Ignored::OutOfTurn.into()), "{name}");
    }
}

#[test]
fn requests_have_the_shape_of_libsrts() {
    for name in [CLEAR, AES_128, AES_256, FFMPEG] {
        let (now, datagrams) = (crate::now(), read(name));
        let steps = handshakes(&datagrams);
        let mut caller = Caller::new(settings(&steps), now);
        let knock = caller.poll_request(now, Timestamp(1)).unwrap();
        let (header, knock) = parse(knock);
        assert_eq!(header.destination, SocketId::LISTENER);
        assert_eq!(knock, steps[0].1, "{name}");
        answer(&mut caller, now, &steps[1].0.payload).unwrap();
        let conclusion = caller.poll_request(now, Timestamp(2)).unwrap();
        let (libsrt, ours) = (steps[2].1, parse(conclusion).1);
        let theirs = libsrt.extensions().unwrap();
        let mut request = theirs.request.unwrap();
        (request.version, request.flags) = (SRT_VERSION, SRT_FLAGS);
        let blocks = Blocks::default();
        assert_eq!(
            Handshake { blocks, ..ours },
            Handshake {
                blocks,
                flow_window: RECEIVE_WINDOW,
                ..libsrt
            },
            "{name}"
        );
        let extensions = ours.extensions().unwrap();
        assert_eq!(extensions.request, Some(request), "{name}");
        assert_eq!(extensions.stream_id, theirs.stream_id, "{name}");
        assert_eq!(extensions.key_material, theirs.key_material, "{name}");
        assert_eq!(ours.packet_len(), steps[2].0.payload.len(), "{name}");
    }
}

#[test]
fn a_captured_refusal_ends_the_attempt() {
    let (now, datagrams) = (crate::now(), read(WRONG_PASSPHRASE));
    let steps = handshakes(&datagrams);
    let mut caller = Caller::new(settings(&steps), now);
    answer(&mut caller, now, &steps[1].0.payload).unwrap();
    let refused = answer(&mut caller, now, &steps[3].0.payload);
    let failure = Failure::Rejected(RejectReason::BAD_SECRET);
    assert_eq!(refused, Err(failure.into()));
    assert_eq!(caller.poll_request(now + PATIENCE / 2, Timestamp(0)), None);
    assert_eq!(caller.handle_timeout(now + PATIENCE), Ok(()));
}

#[test]
fn a_caller_and_a_listener_of_ours_agree() {
    let (now, from) = (crate::now(), SocketAddr::from(([198, 51, 100, 3], 40_000)));
    let listener = Listener::new([4; 16]);
    let mut caller = Caller::new(plain(), now);
    let knock = caller.poll_request(now, Timestamp(3)).unwrap().to_vec();
    let (header, handshake) = parse(&knock);
    let Step::Reply(reply) = listener.handle(0, from, &handshake, header.timestamp) else {
        panic!("a knock is answered")
    };
    answer(&mut caller, now, &reply).unwrap();
    let conclusion = caller.poll_request(now, Timestamp(4)).unwrap().to_vec();
    let (header, handshake) = parse(&conclusion);
    let Step::Request(request) = listener.handle(0, from, &handshake, header.timestamp) else {
        panic!("a conclusion is a request")
    };
    assert_eq!(request.timestamp, Timestamp(4));
    assert_eq!(request.stream_id.as_ref().unwrap().as_str(), "play_0123");
    let latency = request.latency.answer(Latency::both(300));
    let reply = request.accept(SocketId(0x99), latency, Timestamp(1_000_000));
    let Ok(Progress::Connected(agreed)) = answer(&mut caller, now, &reply) else {
        panic!("an acceptance connects")
    };
    assert_eq!(agreed.peer_id, SocketId(0x99));
    assert_eq!(agreed.latency, Latency::both(300));
    assert_eq!(agreed.timestamp, Timestamp(1_000_000));
}

#[test]
fn requests_are_repeated_until_the_patience_is_over() {
    let start = crate::now();
    let mut caller = Caller::new(plain(), start);
    let (mut now, mut sent) = (start, 0);
    let over_at = loop {
        if let Some(request) = caller.poll_request(now, Timestamp(sent)) {
            assert_eq!(parse(request).0.timestamp, Timestamp(sent));
            assert_eq!(now, start + REPEAT_INTERVAL * sent);
            sent += 1;
        }
        assert_eq!(caller.poll_request(now, Timestamp(0)), None);
        if let Err(failure) = caller.handle_timeout(now) {
            assert_eq!(failure, Failure::NoAnswer);
            break now;
        }
        now = caller.poll_timeout().unwrap();
    };
    assert_eq!((over_at, sent), (start + PATIENCE, 12));
    assert_eq!(caller.handle_timeout(over_at), Ok(()));
    assert_eq!(caller.poll_timeout(), None);
}

#[test]
fn only_the_called_listener_is_believed() {
    let now = crate::now();
    let mut caller = concluding(now, plain());
    let blocks = response(&AGREED);
    let other_socket = caller.handle(now, to(SocketId(0x1235)), &agreement(&blocks));
    assert_eq!(other_socket, Err(Ignored::OtherSocket.into()));
    let ours = to(caller.socket_id());
    for kind in [Kind::Conclusion, Kind::Rejection(RejectReason::PEER)] {
        let forged = Handshake {
            cookie: 78,
            kind,
            ..agreement(&blocks)
        };
        let other_cookie = caller.handle(now, ours, &forged);
        assert_eq!(other_cookie, Err(Ignored::OtherCookie.into()));
    }
    for kind in [Kind::Induction, Kind::Other(0), Kind::Other(u32::MAX - 1)] {
        let out_of_turn = Handshake {
            kind,
            ..agreement(&blocks)
        };
        let ignored = caller.handle(now, ours, &out_of_turn);
        assert_eq!(ignored, Err(Ignored::OutOfTurn.into()));
    }
    let no_cookie = Handshake {
        cookie: 0,
        ..agreement(&blocks)
    };
    let progress = caller.handle(now, ours, &no_cookie).unwrap();
    assert!(matches!(progress, Progress::Connected(_)));
}

#[test]
fn an_unusable_answer_ends_the_attempt_with_its_reason() {
    let good = response(&AGREED);
    let with = |features| response(&features);
    let old = with(Features {
        version: 0x01_02_00,
        ..AGREED
    });
    let stream = with(Features {
        flags: flags::STREAM,
        ..AGREED
    });
    let mut request = good;
    write_features(&mut request, HSREQ, &AGREED);
    let mut keyed = good.to_vec();
    keyed.resize(FEATURES_LEN + 8, 0);
    write_block(&mut keyed[FEATURES_LEN..], KMRSP, &[0, 0, 0, 3]);
    let agree = agreement(&good);
    for (handshake, reason) in [
        (
            Handshake {
                version: 4,
                ..agree
            },
            RejectReason::VERSION,
        ),
        (
            Handshake {
                socket_id: SocketId::LISTENER,
                ..agree
            },
            RejectReason::ROGUE,
        ),
        (Handshake { mtu: 75, ..agree }, RejectReason::ROGUE),
        (agreement(&[]), RejectReason::ROGUE),
        (agreement(&good[..9]), RejectReason::ROGUE),
        (agreement(&request), RejectReason::ROGUE),
        (agreement(&old), RejectReason::VERSION),
        (agreement(&stream), RejectReason::MESSAGE_API),
        (agreement(&keyed), RejectReason::UNSECURE),
    ] {
        let now = crate::now();
        let mut caller = concluding(now, plain());
        let ours = to(caller.socket_id());
        let failed = caller.handle(now, ours, &handshake);
        assert_eq!(failed, Err(Failure::Unusable(reason).into()));
        assert_eq!(caller.poll_timeout(), None);
    }
}

#[test]
fn an_old_listener_is_told_apart() {
    for (version, extension, reason) in [
        (4, 0, RejectReason::VERSION),
        (5, 0x4a16, RejectReason::ROGUE),
    ] {
        let now = crate::now();
        let mut caller = Caller::new(plain(), now);
        let knock = caller.poll_request(now, Timestamp(0)).unwrap().to_vec();
        let reply = Handshake {
            version,
            extension,
            ..parse(&knock).1
        };
        let ours = to(caller.socket_id());
        let failed = caller.handle(now, ours, &reply);
        assert_eq!(failed, Err(Failure::Unusable(reason).into()));
    }
}

#[test]
fn keys_that_are_not_confirmed_are_no_agreement() {
    let key = longest_key_material();
    let mut wrong = key.as_bytes().to_vec();
    wrong[55] ^= 1;
    for (answer, reason) in [
        (None, RejectReason::UNSECURE),
        (Some(&wrong[..]), RejectReason::UNSECURE),
        (Some(&[0, 0, 0, 3][..]), RejectReason::UNSECURE),
        (Some(&[0, 0, 0, 4][..]), RejectReason::BAD_SECRET),
        (Some(&[4, 0, 0, 0][..]), RejectReason::BAD_SECRET),
        (Some(&[0, 0, 0, 5][..]), RejectReason::CRYPTO),
    ] {
        let now = crate::now();
        let key = Some(key.clone());
        let mut caller = concluding(now, Settings { key, ..plain() });
        let mut blocks = response(&AGREED).to_vec();
        if let Some(answer) = answer {
            blocks.resize(FEATURES_LEN + 4 + answer.len(), 0);
            write_block(&mut blocks[FEATURES_LEN..], KMRSP, answer);
        }
        let ours = to(caller.socket_id());
        let failed = caller.handle(now, ours, &agreement(&blocks));
        assert_eq!(failed, Err(Failure::Unusable(reason).into()));
    }
}

#[test]
fn the_longest_request_fits() {
    let now = crate::now();
    let longest = Settings {
        stream_id: StreamId::new(&"x".repeat(512)),
        key: Some(longest_key_material()),
        ..plain()
    };
    let mut caller = concluding(now, longest);
    let request = caller.poll_request(now, Timestamp(0)).unwrap();
    assert_eq!(request.len(), Caller::REQUEST_MAX);
}

fn longest_key_material() -> KeyMaterial {
    let kek = Kek::derive(b"correct-horse-battery", [1; 16], KeyLength::Bits256);
    let sek = Some(Sek::new(KeyLength::Bits256, &[2; 32]));
    kek.wrap(&SekPair {
        even: sek.clone(),
        odd: sek,
    })
}

proptest! {
    /// Whatever comes, an attempt ends at the latest when its patience does, and sends no more
    /// often than it may.
    #[test]
    fn no_answers_can_panic_it(
        answers in prop::collection::vec(
            (0..500_u64, prop::collection::vec(any::<u8>(), 64..200), 0..4_u8),
            0..40,
        ),
    ) {
        let start = crate::now();
        let mut caller = Caller::new(plain(), start);
        let (mut now, mut sent, mut progressed) = (start, 0, 0);
        for (wait_ms, mut bytes, aim) in answers {
            now += Duration::from_millis(wait_ms);
            bytes[..4].copy_from_slice(&0x8000_0000_u32.to_be_bytes());
            aim_at(&caller, &mut bytes, aim);
            let (header, handshake) = parse(&bytes);
            let result = caller.handle(now, header, &handshake);
            if header.destination != caller.socket_id() {
                prop_assert_eq!(&result, &Err(Ignored::OtherSocket.into()));
            }
            progressed += u32::from(result.is_ok());
            sent += u32::from(caller.poll_request(now, Timestamp(0)).is_some());
            let _ = caller.handle_timeout(now);
        }
        prop_assert!(progressed <= 2);
        prop_assert!(sent <= 2 + 12);
        let _ = caller.handle_timeout(start + PATIENCE);
        prop_assert_eq!(caller.poll_timeout(), None);
    }
}

/// Makes noise more and more of an answer, so that it gets past the first checks.
fn aim_at(caller: &Caller, bytes: &mut [u8], aim: u8) {
    if aim > 0 {
        bytes[12..16].copy_from_slice(&caller.socket_id().0.to_be_bytes());
    }
    if aim > 1 {
        bytes[16..20].copy_from_slice(&5_u32.to_be_bytes());
        bytes[22..24].copy_from_slice(&0x4a17_u16.to_be_bytes());
        let kind = if aim == 2 { 1 } else { u32::MAX };
        bytes[36..40].copy_from_slice(&kind.to_be_bytes());
        bytes[44..48].fill(0);
    }
}
