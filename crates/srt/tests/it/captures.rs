//! What real programs sent parses, says what it should, and is rebuilt byte for byte.

use std::path::Path;

use streamhaul_srt::handshake::{
    EXTENSION_CONFIG, EXTENSION_HSREQ, EXTENSION_KMREQ, Extensions, Features,
};
use streamhaul_srt::handshake::{Handshake, Kind, Latency, MAGIC};
use streamhaul_srt::packet::{Control, DataHeader, Error, KeyParity, Packet};
use streamhaul_srt::reject::RejectReason;
use streamhaul_srt::{Seq, SocketId};
use testkit::capture::{self, Datagram};

use crate::rebuild::rebuild;

pub(crate) const CLEAR: &str = "libsrt-caller-pbkeylen0.pcap";
pub(crate) const AES_128: &str = "libsrt-caller-pbkeylen16.pcap";
pub(crate) const AES_256: &str = "libsrt-caller-pbkeylen32.pcap";
pub(crate) const WRONG_PASSPHRASE: &str = "libsrt-wrong-passphrase.pcap";
pub(crate) const FFMPEG: &str = "ffmpeg-publisher.pcap";
const SRTLA: [&str; 2] = ["srtla-sender-belabox.pcap", "srtla-sender-rust.pcap"];

pub(crate) fn read(name: &str) -> Vec<Datagram> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    capture::read(&path).unwrap()
}

pub(crate) fn packet(datagram: &Datagram) -> Packet<'_> {
    Packet::parse(&datagram.payload).unwrap()
}

/// The handshakes of a capture with the datagrams they came in.
pub(crate) fn handshakes(datagrams: &[Datagram]) -> Vec<(&Datagram, Handshake<'_>)> {
    let handshake = |datagram| match packet(datagram) {
        Packet::Control {
            body: Control::Handshake(handshake),
            ..
        } => Some((datagram, handshake)),
        _ => None,
    };
    datagrams.iter().filter_map(handshake).collect()
}

pub(crate) fn data(datagrams: &[Datagram]) -> Vec<(DataHeader, &[u8])> {
    let data = |datagram| match packet(datagram) {
        Packet::Data { header, payload } => Some((header, payload)),
        Packet::Control { .. } => None,
    };
    datagrams.iter().filter_map(data).collect()
}

fn extensions<'a>(handshake: &Handshake<'a>) -> Extensions<'a> {
    handshake.extensions().unwrap()
}

#[test]
fn every_srt_packet_is_rebuilt_byte_for_byte() {
    for name in [CLEAR, AES_128, AES_256, WRONG_PASSPHRASE, FFMPEG] {
        let datagrams = read(name);
        assert!(datagrams.len() >= 40, "{name}");
        for datagram in &datagrams {
            assert_eq!(rebuild(&packet(datagram)), datagram.payload, "{name}");
        }
    }
}

#[test]
fn srt_inside_srtla_is_rebuilt_and_srtla_itself_is_refused() {
    for name in SRTLA {
        let (mut srt, mut srtla) = (0, 0);
        for datagram in read(name) {
            let kind = u16::from_be_bytes([datagram.payload[0], datagram.payload[1]]);
            match Packet::parse(&datagram.payload) {
                Ok(packet) => {
                    srt += 1;
                    assert_eq!(rebuild(&packet), datagram.payload, "{name}");
                }
                Err(error) => {
                    srtla += 1;
                    assert!((0x9000..=0x9212).contains(&kind), "{name}: {kind:#06x}");
                    assert!(
                        matches!(error, Error::Short | Error::UnknownType(_)),
                        "{name}: {error}"
                    );
                }
            }
        }
        assert!(srt > 300 && srtla > 30, "{name}: {srt} SRT, {srtla} SRTLA");
    }
}

#[test]
fn a_clear_libsrt_handshake() {
    let datagrams = read(CLEAR);
    let steps = handshakes(&datagrams);
    let [(_, knock), (_, cookie), (_, request), (_, response)] = steps[..] else {
        panic!("{} handshakes", steps.len())
    };
    assert_eq!(
        (knock.version, knock.extension, knock.kind),
        (4, 2, Kind::Induction)
    );
    assert_eq!(
        (knock.isn, knock.mtu, knock.flow_window),
        (Seq::new(0x4419_c500), 1500, 8192)
    );
    assert_eq!(
        (cookie.version, cookie.extension, cookie.socket_id),
        (5, MAGIC, knock.socket_id)
    );
    assert_eq!(
        (request.version, request.kind, request.cookie),
        (5, Kind::Conclusion, cookie.cookie)
    );
    assert_eq!(request.extension, EXTENSION_HSREQ | EXTENSION_CONFIG);
    let asked = extensions(&request);
    let latency = Latency::both(200);
    assert_eq!(
        asked.request,
        Some(Features {
            version: 0x01_05_01,
            flags: 0xbf,
            latency
        })
    );
    assert_eq!(asked.stream_id.unwrap().as_str(), "live_0123456789abcdef");
    assert_eq!(
        (response.kind, response.isn),
        (Kind::Conclusion, request.isn)
    );
    assert_ne!(response.socket_id, request.socket_id);
    assert_eq!(extensions(&response).response.unwrap().latency, latency);
}

#[test]
fn encrypted_handshakes_carry_key_material() {
    for (name, key_length, key_material) in [(AES_128, 16, 56), (AES_256, 32, 72)] {
        let datagrams = read(name);
        let steps = handshakes(&datagrams);
        let request = steps[2].1;
        assert_eq!(usize::from(request.encryption) * 8, key_length, "{name}");
        assert_eq!(
            request.extension & EXTENSION_KMREQ,
            EXTENSION_KMREQ,
            "{name}"
        );
        let asked = extensions(&request).key_material.unwrap();
        assert_eq!(asked.len(), key_material, "{name}");
        assert_eq!(extensions(&steps[3].1).key_response, Some(asked), "{name}");
    }
}

#[test]
fn libsrt_says_bad_secret_with_a_bare_handshake() {
    let datagrams = read(WRONG_PASSPHRASE);
    let steps = handshakes(&datagrams);
    let refusals: Vec<_> = steps
        .iter()
        .filter(|(_, step)| matches!(step.kind, Kind::Rejection(_)))
        .collect();
    assert_eq!(refusals.len(), 10);
    for (datagram, refusal) in refusals {
        assert_eq!(refusal.kind, Kind::Rejection(RejectReason::BAD_SECRET));
        assert_eq!(datagram.payload.len(), 64);
    }
}

#[test]
fn ffmpeg_asks_for_its_stream() {
    let datagrams = read(FFMPEG);
    let steps = handshakes(&datagrams);
    let asked = extensions(&steps[2].1);
    assert_eq!(asked.stream_id.unwrap().as_str(), "pub0");
    assert_eq!(asked.request.unwrap().latency, Latency::both(200));
    let lengths: Vec<_> = data(&datagrams)
        .iter()
        .map(|(_, payload)| payload.len())
        .collect();
    assert!(lengths.contains(&1316) && lengths.contains(&752));
}

#[test]
fn payloads_of_a_clear_session_in_order() {
    let datagrams = read(CLEAR);
    let destination = handshakes(&datagrams)[3].1.socket_id;
    let packets = data(&datagrams);
    assert_eq!(packets.len(), 60);
    for ((header, payload), step) in packets.into_iter().zip(0..) {
        let seq = Seq::new(0x4419_c500).add(step);
        assert_eq!(
            header,
            DataHeader::live(seq, step + 1, header.timestamp, destination)
        );
        assert_eq!(payload, [b'G'; 1316]);
    }
}

#[test]
fn payloads_of_an_encrypted_session_say_so() {
    for name in [AES_128, AES_256] {
        let datagrams = read(name);
        let packets = data(&datagrams);
        assert_eq!(packets.len(), 60, "{name}");
        assert!(
            packets
                .iter()
                .all(|(header, _)| header.key == KeyParity::Even),
            "{name}"
        );
    }
}

#[test]
fn acknowledgements_and_their_answers_match() {
    let datagrams = read(CLEAR);
    let (mut acks, mut answers) = (Vec::new(), Vec::new());
    for datagram in &datagrams {
        let Packet::Control { header, body } = packet(datagram) else {
            continue;
        };
        match body {
            Control::Ack(ack) => acks.push(ack),
            Control::AckAck { number } => answers.push(number),
            _ => continue,
        }
        assert_ne!(header.destination, SocketId::LISTENER);
    }
    let numbers: Vec<_> = acks.iter().map(|ack| ack.number).collect();
    assert_eq!(numbers, answers);
    assert!(
        acks.iter()
            .all(|ack| ack.detail.is_some_and(|detail| detail.rates.is_some()))
    );
    assert_eq!(acks.last().unwrap().next, Seq::new(0x4419_c500).add(60));
}
