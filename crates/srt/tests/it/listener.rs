//! The listener's answers to captured callers have the shape of libsrt's, and its refusals its codes.

use std::net::SocketAddr;

use streamhaul_srt::handshake::{
    Blocks, CONGESTION, FILTER, Features, GROUP, HSREQ, HSRSP, Handshake, Kind, Latency, SID,
    flags, write_block, write_features, write_text,
};
use streamhaul_srt::listener::{
    ConnectRequest, DropReason, Listener, RECEIVE_WINDOW, SRT_FLAGS, SRT_VERSION, Step,
};
use streamhaul_srt::packet::{Control, Packet, build};
use streamhaul_srt::reject::RejectReason;
use streamhaul_srt::{SocketId, Timestamp};
use testkit::capture::Datagram;

use crate::captures::{
    AES_128, AES_256, CLEAR, FFMPEG, WRONG_PASSPHRASE, handshakes, packet, read,
};

const MINUTE: u64 = 29_000_000;

fn listener() -> Listener {
    Listener::new([9; 16])
}

fn timestamp(datagram: &Datagram) -> Timestamp {
    match packet(datagram) {
        Packet::Control { header, .. } => header.timestamp,
        Packet::Data { header, .. } => header.timestamp,
    }
}

fn handshake(bytes: &[u8]) -> Handshake<'_> {
    match Packet::parse(bytes).unwrap() {
        Packet::Control {
            body: Control::Handshake(handshake),
            ..
        } => handshake,
        other => panic!("{other:?}"),
    }
}

/// The cookie that our listener gives a captured caller.
fn cookie(from: SocketAddr, knock: &Handshake<'_>) -> u32 {
    match listener().handle(MINUTE, from, knock, Timestamp(0)) {
        Step::Reply(reply) => handshake(&reply).cookie,
        other => panic!("{other:?}"),
    }
}

/// A captured conclusion as its caller would have sent it to us.
fn conclude(datagrams: &[Datagram]) -> (Step, &Datagram, Handshake<'_>) {
    let steps = handshakes(datagrams);
    let (datagram, conclusion) = steps[2];
    let cookie = cookie(datagram.from, &steps[0].1);
    let conclusion = Handshake {
        cookie,
        ..conclusion
    };
    let step = listener().handle(MINUTE + 1, datagram.from, &conclusion, timestamp(datagram));
    (step, datagram, conclusion)
}

fn request(datagrams: &[Datagram]) -> ConnectRequest {
    match conclude(datagrams).0 {
        Step::Request(request) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn inductions_are_answered_as_libsrt_does() {
    for name in [CLEAR, AES_128, AES_256, WRONG_PASSPHRASE, FFMPEG] {
        let datagrams = read(name);
        let steps = handshakes(&datagrams);
        let ((knock, asked), (reply, libsrt)) = (steps[0], steps[1]);
        let step = listener().handle(MINUTE, knock.from, &asked, timestamp(reply));
        let Step::Reply(ours) = step else {
            panic!("{step:?}")
        };
        assert_eq!(ours.len(), knock.payload.len(), "{name}");
        // libsrt also announces its key length; SRT Live Server writes the address as IPv6.
        let cookie = handshake(&ours).cookie;
        let expected = Handshake {
            cookie,
            encryption: 0,
            peer_ip: asked.peer_ip,
            ..libsrt
        };
        assert_eq!(handshake(&ours), expected, "{name}");
        assert_eq!(
            streamhaul_srt::packet::destination(&ours),
            Some(asked.socket_id),
            "{name}"
        );
    }
}

#[test]
fn conclusions_become_requests() {
    let datagrams = read(CLEAR);
    let (_, datagram, conclusion) = conclude(&datagrams);
    let request = request(&datagrams);
    assert_eq!(request.caller_id, conclusion.socket_id);
    assert_eq!(request.from, datagram.from);
    assert_eq!(request.isn, conclusion.isn);
    assert_eq!(
        request.stream_id.as_ref().unwrap().as_str(),
        "live_0123456789abcdef"
    );
    assert_eq!(
        (request.latency, request.flags, request.version),
        (Latency::both(200), 0xbf, 0x01_05_01)
    );
    assert_eq!(
        (request.mtu, request.flow_window, request.payload_max()),
        (1500, 8192, 1456)
    );
    assert_eq!(request.timestamp, timestamp(datagram));
}

#[test]
fn acceptances_are_libsrts_but_for_version_flags_and_window() {
    for name in [CLEAR, AES_128, AES_256, FFMPEG] {
        let datagrams = read(name);
        let (reply, libsrt) = handshakes(&datagrams)[3];
        let request = request(&datagrams);
        let latency = request.latency.answer(Latency::default());
        let mut ours = request.accept(libsrt.socket_id, latency, Timestamp(1));
        ours.restamp(timestamp(reply));
        assert_eq!(ours.len(), reply.payload.len(), "{name}");
        let (ours, blocks) = (handshake(&ours), handshake(&ours).extensions().unwrap());
        let same = Handshake {
            cookie: ours.cookie,
            peer_ip: ours.peer_ip,
            flow_window: RECEIVE_WINDOW,
            blocks: ours.blocks,
            ..libsrt
        };
        assert_eq!(ours, same, "{name}");
        let features = Features {
            version: SRT_VERSION,
            flags: SRT_FLAGS,
            latency,
        };
        assert_eq!(blocks.response, Some(features), "{name}");
        assert_eq!(
            latency,
            libsrt.extensions().unwrap().response.unwrap().latency,
            "{name}"
        );
        let confirmed = libsrt.extensions().unwrap().key_response;
        assert_eq!(blocks.key_response, confirmed, "{name}");
    }
}

#[test]
fn a_wrong_passphrase_is_refused_as_libsrt_does() {
    let datagrams = read(WRONG_PASSPHRASE);
    let (reply, libsrt) = handshakes(&datagrams)[3];
    let request = request(&datagrams);
    let mut ours = request.reject(RejectReason::BAD_SECRET, Timestamp(0));
    ours.restamp(timestamp(reply));
    let ours = handshake(&ours);
    // libsrt names a socket that will not be, and blocks that do not follow.
    let expected = Handshake {
        extension: 0,
        socket_id: request.caller_id,
        cookie: ours.cookie,
        ..libsrt
    };
    assert_eq!(ours, expected);
}

#[test]
fn a_decided_rejection_goes_to_the_caller() {
    let datagrams = read(CLEAR);
    let request = request(&datagrams);
    let reply = request.reject(RejectReason::CONFLICT, Timestamp(7));
    assert_eq!(reply.len(), 64);
    assert_eq!(
        handshake(&reply).kind,
        Kind::Rejection(RejectReason::CONFLICT)
    );
    assert_eq!(
        streamhaul_srt::packet::destination(&reply),
        Some(request.caller_id)
    );
}

#[test]
fn unproven_and_unexpected_handshakes_are_dropped() {
    let datagrams = read(CLEAR);
    let (datagram, conclusion) = handshakes(&datagrams)[2];
    let handle = |handshake: &Handshake<'_>| {
        listener().handle(MINUTE, datagram.from, handshake, Timestamp(0))
    };
    assert_eq!(handle(&conclusion), Step::Drop(DropReason::BadCookie));
    let anonymous = Handshake {
        socket_id: SocketId::LISTENER,
        kind: Kind::Induction,
        ..conclusion
    };
    assert_eq!(handle(&anonymous), Step::Drop(DropReason::NoSocketId));
    for kind in [
        Kind::Other(0),
        Kind::Other(u32::MAX - 1),
        Kind::Rejection(RejectReason::PEER),
    ] {
        assert_eq!(
            handle(&Handshake { kind, ..conclusion }),
            Step::Drop(DropReason::UnexpectedKind)
        );
    }
}

/// What the listener refuses a proven caller with, whose conclusion `change` altered.
fn refusal(change: impl Fn(&mut Handshake<'_>), blocks: &[u8]) -> Option<RejectReason> {
    let datagrams = read(CLEAR);
    let (_, datagram, conclusion) = conclude(&datagrams);
    let mut conclusion = Handshake {
        blocks: Blocks(blocks),
        ..conclusion
    };
    change(&mut conclusion);
    match listener().handle(MINUTE, datagram.from, &conclusion, Timestamp(0)) {
        Step::Reject(reason, reply) => {
            assert!(reply.len() <= conclusion.packet_len());
            Some(reason)
        }
        Step::Request(_) => None,
        other => panic!("{other:?}"),
    }
}

fn features(kind: u16, version: u32, flags: u32) -> Vec<u8> {
    let mut out = vec![0; 16];
    write_features(
        &mut out,
        kind,
        &Features {
            version,
            flags,
            latency: Latency::both(120),
        },
    );
    out
}

fn with_block(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut blocks = features(HSREQ, 0x01_05_01, 0xbf);
    let mut block = vec![0; 1024];
    let length = write_block(&mut block, kind, body);
    blocks.extend(&block[..length]);
    blocks
}

fn with_text(kind: u16, text: &str) -> Vec<u8> {
    let mut blocks = features(HSREQ, 0x01_05_01, 0xbf);
    let mut block = vec![0; 1024];
    let length = write_text(&mut block, kind, text);
    blocks.extend(&block[..length]);
    blocks
}

#[test]
fn what_is_not_spoken_is_refused_with_libsrts_code() {
    let as_sent = |_: &mut Handshake<'_>| {};
    let good = features(HSREQ, 0x01_05_01, 0xbf);
    assert_eq!(refusal(as_sent, &good), None);
    assert_eq!(
        refusal(|handshake| handshake.version = 4, &good),
        Some(RejectReason::VERSION)
    );
    assert_eq!(
        refusal(|handshake| handshake.mtu = 60, &good),
        Some(RejectReason::ROGUE)
    );
    let old = features(HSREQ, 0x01_02_03, 0xbf);
    assert_eq!(refusal(as_sent, &old), Some(RejectReason::VERSION));
    let stream = features(HSREQ, 0x01_05_01, 0xbf | flags::STREAM);
    assert_eq!(refusal(as_sent, &stream), Some(RejectReason::MESSAGE_API));
    assert_eq!(
        refusal(as_sent, &with_text(CONGESTION, "file")),
        Some(RejectReason::CONGESTION)
    );
    assert_eq!(refusal(as_sent, &with_text(CONGESTION, "live")), None);
    assert_eq!(
        refusal(as_sent, &with_text(FILTER, "fec,cols:10")),
        Some(RejectReason::FILTER)
    );
    assert_eq!(
        refusal(as_sent, &with_block(GROUP, &[0; 8])),
        Some(RejectReason::GROUP)
    );
    assert_eq!(refusal(as_sent, &with_block(77, &[0; 8])), None);
}

#[test]
fn malformed_blocks_are_rogue() {
    let as_sent = |_: &mut Handshake<'_>| {};
    let rogue = Some(RejectReason::ROGUE);
    let good = features(HSREQ, 0x01_05_01, 0xbf);
    assert_eq!(refusal(as_sent, &[]), rogue);
    assert_eq!(refusal(as_sent, &good[..12]), rogue);
    assert_eq!(
        refusal(as_sent, &[good.as_slice(), &[0, 5]].concat()),
        rogue
    );
    assert_eq!(
        refusal(as_sent, &[good.as_slice(), &[0, 5, 0xff, 0xff]].concat()),
        rogue
    );
    assert_eq!(refusal(as_sent, &with_block(HSREQ, &[0; 12])), rogue);
    assert_eq!(refusal(as_sent, &with_block(SID, &[b'x'; 516])), rogue);
    assert_eq!(
        refusal(
            as_sent,
            &[good.as_slice(), &features(HSRSP, 0x01_05_01, 0)].concat()
        ),
        rogue
    );
    assert_eq!(
        refusal(as_sent, &with_block(SID, &[0xff; 4])),
        Some(RejectReason::BAD_REQUEST)
    );
}

#[test]
fn the_longest_stream_id_arrives_whole() {
    let text = "k".repeat(512);
    let datagrams = read(CLEAR);
    let (_, datagram, conclusion) = conclude(&datagrams);
    let blocks = with_text(SID, &text);
    let conclusion = Handshake {
        blocks: Blocks(&blocks),
        ..conclusion
    };
    match listener().handle(MINUTE, datagram.from, &conclusion, Timestamp(0)) {
        Step::Request(request) => assert_eq!(request.stream_id.unwrap().as_str(), text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_mtu_bounds_the_payload() {
    let datagrams = read(CLEAR);
    let mut request = request(&datagrams);
    request.mtu = 1000;
    assert_eq!(request.payload_max(), 1000 - 44);
    request.mtu = 9000;
    assert_eq!(request.payload_max(), 1456);
}

#[test]
fn restamping_and_readdressing_touch_nothing_else() {
    let datagrams = read(CLEAR);
    let mut bytes = datagrams[0].payload.clone();
    build::restamp(&mut bytes, Timestamp(5));
    build::readdress(&mut bytes, SocketId(6));
    let Packet::Control { header, body } = Packet::parse(&bytes).unwrap() else {
        panic!("not control")
    };
    assert_eq!(
        (header.timestamp, header.destination),
        (Timestamp(5), SocketId(6))
    );
    let Packet::Control { body: before, .. } = packet(&datagrams[0]) else {
        panic!("not control")
    };
    assert_eq!(body, before);
}

#[test]
fn the_callers_address_is_written_as_libsrt_does() {
    let datagrams = read(CLEAR);
    let (_, knock) = handshakes(&datagrams)[0];
    for (from, written) in [
        (
            "192.0.2.7:1",
            [7, 2, 0, 192, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            "[::ffff:192.0.2.7]:1",
            [7, 2, 0, 192, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            "[2001:db8::1]:1",
            [0xb8, 0x0d, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        ),
    ] {
        let step = listener().handle(MINUTE, from.parse().unwrap(), &knock, Timestamp(0));
        let Step::Reply(reply) = step else {
            panic!("{step:?}")
        };
        assert_eq!(handshake(&reply).peer_ip, written, "{from}");
    }
}
