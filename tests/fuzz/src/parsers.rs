//! The parsers: nothing panics, nothing is read that is not there, and what was
//! read is what its bytes say.

use std::net::SocketAddr;

use lease::KeySet;
use model::{NodeId, UnixMillis};
use srt::crypto::KeyMaterial;
use srt::handshake::Handshake;
use srt::listener::{Listener, Reply, Step};
use srt::packet::{Control, ControlHeader, DATAGRAM_MAX, HEADER_LEN, build};
use srt::streamid::StreamIdText;
use srt::{Packet, RejectReason, SocketId, Timestamp};

use crate::world;

/// Any datagram as a packet: it is refused, or what is built of it reads the same.
pub fn packet(bytes: &[u8]) {
    let destination = srt::packet::destination(bytes);
    assert_eq!(destination.is_some(), bytes.len() >= HEADER_LEN);
    let Ok(packet) = Packet::parse(bytes) else {
        return;
    };
    match packet {
        Packet::Data { header, payload } => {
            assert_eq!(header.to_bytes(), bytes[..HEADER_LEN]);
            assert_eq!(payload, &bytes[HEADER_LEN..]);
        }
        Packet::Control { header, body } => control(bytes, header, body),
    }
}

fn control(bytes: &[u8], header: ControlHeader, body: Control<'_>) {
    if let Control::Nak(nak) = body {
        assert!(nak.ranges().count() <= (bytes.len() - HEADER_LEN) / 4);
        assert!(nak.ranges().all(|range| range.count() <= 1 << 30));
    }
    if let Control::Handshake(handshake) = body {
        // What it does not know is only longer.
        let _ = handshake.extensions();
    }
    let mut out = vec![0; bytes.len() + DATAGRAM_MAX];
    let length = rebuild(&mut out, header, &body);
    if length > 0 && is_complete(&body) {
        assert_eq!(
            Packet::parse(&out[..length]),
            Ok(Packet::Control { header, body })
        );
    }
}

/// Whether a builder writes all of it: a loss report's is shorter than what may come.
fn is_complete(body: &Control<'_>) -> bool {
    match body {
        Control::Nak(nak) => nak.ranges().count() * 2 <= build::NAK_WORDS_MAX && is_canonical(*nak),
        _ => true,
    }
}

/// Whether single losses are written as one word.
fn is_canonical(nak: srt::packet::Nak<'_>) -> bool {
    let words: usize = nak
        .ranges()
        .map(|range| if range.count() == 1 { 1 } else { 2 })
        .sum();
    let mut out = [0; DATAGRAM_MAX];
    let header = ControlHeader {
        timestamp: Timestamp(0),
        destination: SocketId(0),
    };
    let length = build::nak(&mut out, header, nak.ranges());
    let rebuilt = Packet::parse(&out[..length]);
    let same = |packet: Packet<'_>| matches!(packet, Packet::Control { body: Control::Nak(other), .. } if other == nak);
    length == HEADER_LEN + words * 4 && rebuilt.is_ok_and(same)
}

fn rebuild(out: &mut [u8], header: ControlHeader, body: &Control<'_>) -> usize {
    match *body {
        Control::Handshake(handshake) => handshake.write(out, header),
        Control::KeepAlive => build::keepalive(out, header),
        Control::Ack(ack) => build::ack(out, header, &ack),
        Control::Nak(nak) => build::nak(out, header, nak.ranges()),
        Control::Shutdown => build::shutdown(out, header),
        Control::AckAck { number } => build::ackack(out, header, number),
        Control::DropReq { message, range } => build::dropreq(out, header, message, range),
        Control::User { subtype, body } => build::user(out, header, subtype, body),
        Control::CongestionWarning | Control::PeerError { .. } => 0,
    }
}

const FROM: ([u8; 4], u16) = ([203, 0, 113, 9], 40_000);
const MINUTE: u64 = 77;
/// Where the cookie stands in a handshake packet.
const COOKIE: std::ops::Range<usize> = HEADER_LEN + 28..HEADER_LEN + 32;

/// Any bytes as the body of a handshake to a listener; its first byte says
/// whether the cookie in it is made right.
pub fn handshake(bytes: &[u8]) {
    let Some((choice, body)) = bytes.split_first() else {
        return;
    };
    let mut datagram = vec![0; HEADER_LEN];
    datagram[0] = 0x80;
    datagram.extend_from_slice(body);
    let from = SocketAddr::from(FROM);
    let listener = Listener::new(world::COOKIE_KEY);
    let is_proven = choice & 1 == 1 && datagram.len() >= COOKIE.end;
    if is_proven {
        let cookie = world::cookies().cookie(from, MINUTE);
        datagram[COOKIE].copy_from_slice(&cookie.to_be_bytes());
    }
    let Ok(Packet::Control {
        header,
        body: Control::Handshake(handshake),
    }) = Packet::parse(&datagram)
    else {
        assert!(
            datagram.len() < HEADER_LEN + 48,
            "a handshake is refused for its length only"
        );
        return;
    };
    let step = listener.handle(MINUTE, from, &handshake, header.timestamp);
    match step {
        Step::Reply(reply) => check_reply(&reply, &datagram),
        Step::Reject(_, reply) => {
            assert!(world::cookies().is_valid(handshake.cookie, from, MINUTE));
            check_reply(&reply, &datagram);
        }
        Step::Request(request) => {
            assert!(world::cookies().is_valid(handshake.cookie, from, MINUTE));
            assert!((32..=1456).contains(&request.payload_max()));
            check_reply(
                &request.reject(RejectReason::NOT_FOUND, Timestamp(0)),
                &datagram,
            );
            let latency = request.latency.answer(request.latency);
            check_reply(
                &request.accept(SocketId(7), latency, Timestamp(0)),
                &datagram,
            );
        }
        Step::Drop(_) => {}
    }
}

/// Whatever is answered is no longer than its request, and a handshake.
fn check_reply(reply: &Reply, request: &[u8]) {
    assert!(
        reply.len() <= request.len(),
        "a reply is longer than its request"
    );
    let parsed = Packet::parse(reply);
    assert!(
        matches!(
            parsed,
            Ok(Packet::Control {
                body: Control::Handshake(Handshake { .. }),
                ..
            })
        ),
        "a reply is no handshake"
    );
}

/// Any bytes as key material: refused with a code, or kept to the last byte.
pub fn key_material(bytes: &[u8]) {
    match KeyMaterial::parse(bytes) {
        Ok(message) => {
            assert_eq!(message.as_bytes(), bytes);
            assert!(bytes.len() <= KeyMaterial::LENGTH_MAX);
            let again = KeyMaterial::parse(message.as_bytes());
            assert!(again.is_ok_and(|again| again.salt() == message.salt()));
            assert!([16, 24, 32].contains(&message.key_length().bytes()));
        }
        Err(error) => assert!(error.reject_reason().wire() >= 1000),
    }
}

/// Any text as a stream id: refused, or its name is a part of it.
pub fn stream_id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(sorted) = StreamIdText::parse(text) {
        assert!(!sorted.name().is_empty() && text.contains(sorted.name()));
    }
    if let Some(stream_id) = srt::handshake::StreamId::new(text) {
        assert_eq!(stream_id.as_str(), text);
    }
}

/// Any text as a lease, and any change to a good one: none is believed that was
/// not signed.
pub fn lease_token(bytes: &[u8]) {
    let good = world::lease(world::SESSIONS[0], model::session::Role::Publish);
    let keys = world::keys(false);
    let now = world::WALL_START;
    verify(&keys, &String::from_utf8_lossy(bytes), now);
    let mut changed = good.as_bytes().to_vec();
    for change in bytes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % changed.len();
        changed[place] = change[2];
    }
    verify(&keys, &String::from_utf8_lossy(&changed), now);
    assert!(keys.verify(good, &world::node_id(), now).is_ok());
}

fn verify(keys: &KeySet, token: &str, now: UnixMillis) {
    if keys.verify(token, &world::node_id(), now).is_ok() {
        let signed = world::SESSIONS
            .iter()
            .flat_map(|session| world::ROLES.map(|role| world::lease(*session, role)));
        assert!(
            signed.into_iter().any(|good| good == token),
            "a forged lease is believed"
        );
        assert!(keys.verify(token, &NodeId::from_u128(2), now).is_err());
    }
}
