//! No bytes can panic the parser or the listener, replies are bounded, and `parse(build(x)) == x`.

use proptest::prelude::*;
use streamhaul_srt::handshake::{
    Blocks, EXTENSION_HSREQ, Features, HSREQ, Handshake, Kind, Latency, SID, write_features,
    write_text,
};
use streamhaul_srt::listener::{Listener, Step};
use streamhaul_srt::packet::{
    Ack, AckDetail, AckRates, Control, ControlHeader, DataHeader, KeyParity, Packet, build,
};
use streamhaul_srt::reject::RejectReason;
use streamhaul_srt::streamid::StreamIdText;
use streamhaul_srt::{Seq, SeqRange, SocketId, Timestamp};

use crate::rebuild::rebuild;

const FROM: &str = "203.0.113.9:40000";
const MINUTE: u64 = 77;

fn listener() -> Listener {
    Listener::new([3; 16])
}

fn seq() -> impl Strategy<Value = Seq> {
    any::<u32>().prop_map(Seq::new)
}

fn range() -> impl Strategy<Value = SeqRange> {
    let length = prop_oneof![Just(1_u32), 1..20_u32, 1..=0x3fff_ffff_u32];
    (seq(), length).prop_map(|(first, length)| SeqRange::new(first, first.add(length - 1)).unwrap())
}

fn header() -> impl Strategy<Value = ControlHeader> {
    (any::<u32>(), any::<u32>()).prop_map(|(timestamp, destination)| ControlHeader {
        timestamp: Timestamp(timestamp),
        destination: SocketId(destination),
    })
}

prop_compose! {
    fn data_header()(
        seq in seq(),
        position in 0..4_u8,
        in_order: bool,
        key in prop::sample::select(vec![KeyParity::Clear, KeyParity::Even, KeyParity::Odd, KeyParity::Both]),
        retransmitted: bool,
        message in 0..1_u32 << 26,
        header in header(),
    ) -> DataHeader {
        let ControlHeader { timestamp, destination } = header;
        DataHeader { seq, position, in_order, key, retransmitted, message, timestamp, destination }
    }
}

prop_compose! {
    fn ack()(number: u32, next in seq(), form in 0..3_u8, words: [u32; 6]) -> Ack {
        let [rtt_us, rtt_var_us, buffer_available, packets_per_second, capacity_packets_per_second, bytes_per_second] =
            words;
        let rates = AckRates { packets_per_second, capacity_packets_per_second, bytes_per_second };
        let rates = (form == 2).then_some(rates);
        let detail = AckDetail { rtt_us, rtt_var_us, buffer_available, rates };
        Ack { number, next, detail: (form > 0).then_some(detail) }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Induction),
        Just(Kind::Conclusion),
        (1000..=0x7fff_ffff_u32)
            .prop_map(|wire| Kind::Rejection(RejectReason::from_wire(wire).unwrap())),
        prop::sample::select(vec![
            Kind::Other(0),
            Kind::Other(2),
            Kind::Other(u32::MAX - 1)
        ]),
    ]
}

/// Bytes that look like a control packet of a known type more often than chance allows.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..1600);
    let control =
        (0..10_u8, prop::collection::vec(any::<u8>(), 2..700)).prop_map(|(kind, mut bytes)| {
            bytes[0] = 0x80;
            bytes[1] = kind;
            bytes
        });
    prop_oneof![noise, control]
}

/// A conclusion that the listener takes.
fn conclusion(stream_id: &str) -> Vec<u8> {
    let from = FROM.parse().unwrap();
    let mut handshake = Handshake {
        version: 5,
        encryption: 0,
        extension: EXTENSION_HSREQ,
        isn: Seq::new(1),
        mtu: 1500,
        flow_window: 8192,
        kind: Kind::Induction,
        socket_id: SocketId(42),
        cookie: 0,
        peer_ip: [0; 16],
        blocks: Blocks::default(),
    };
    let Step::Reply(reply) = listener().handle(MINUTE, from, &handshake, Timestamp(0)) else {
        panic!("no reply")
    };
    let Ok(Packet::Control {
        body: Control::Handshake(induction),
        ..
    }) = Packet::parse(&reply)
    else {
        panic!("no handshake")
    };
    let mut blocks = [0; 1024];
    let features = Features {
        version: 0x01_05_01,
        flags: 0xbf,
        latency: Latency::both(120),
    };
    let mut length = write_features(&mut blocks, HSREQ, &features);
    length += write_text(&mut blocks[length..], SID, stream_id);
    handshake.kind = Kind::Conclusion;
    handshake.cookie = induction.cookie;
    handshake.blocks = Blocks(&blocks[..length]);
    let mut out = vec![0; handshake.packet_len()];
    handshake.write(
        &mut out,
        ControlHeader {
            timestamp: Timestamp(1),
            destination: SocketId::LISTENER,
        },
    );
    out
}

/// Hands a datagram to the listener and checks the bounds of what comes back.
fn listen(datagram: &[u8]) -> Option<Step> {
    let Ok(Packet::Control {
        header,
        body: Control::Handshake(handshake),
    }) = Packet::parse(datagram)
    else {
        return None;
    };
    let step = listener().handle(MINUTE, FROM.parse().unwrap(), &handshake, header.timestamp);
    match &step {
        Step::Reply(reply) | Step::Reject(_, reply) => assert!(reply.len() <= datagram.len()),
        Step::Request(request) => {
            assert!(
                request
                    .accept(SocketId(1), Latency::both(u16::MAX), Timestamp(0))
                    .len()
                    <= 256
            );
            assert!(request.reject(RejectReason::NOT_FOUND, Timestamp(0)).len() <= datagram.len());
            assert!((1..=1456).contains(&request.payload_max()));
            let _ = request
                .stream_id
                .as_ref()
                .map(|text| StreamIdText::parse(text.as_str()));
        }
        Step::Drop(_) => {}
    }
    Some(step)
}

fn control(bytes: &[u8]) -> Control<'_> {
    match Packet::parse(bytes).unwrap() {
        Packet::Control { body, .. } => body,
        other @ Packet::Data { .. } => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_the_parser(bytes in datagram()) {
        let Ok(packet) = Packet::parse(&bytes) else { return Ok(()) };
        if let Packet::Control { body, .. } = packet {
            match body {
                Control::Nak(nak) => prop_assert!(nak.ranges().count() <= bytes.len() / 4),
                Control::CongestionWarning | Control::PeerError { .. } => return Ok(()),
                Control::Handshake(handshake) => drop(handshake.extensions()),
                _ => {}
            }
        }
        let rebuilt = rebuild(&packet);
        prop_assert!(rebuilt.len() <= bytes.len().max(20));
    }

    #[test]
    fn no_bytes_panic_the_listener(bytes in datagram()) {
        listen(&bytes);
    }

    #[test]
    fn no_change_to_a_good_conclusion_panics_the_listener(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        stream_id in "[ -~]{0,512}",
    ) {
        let mut bytes = conclusion(&stream_id);
        // Keep the header and the cookie: most of what is behind them is never reached otherwise.
        let changeable: Vec<usize> = (16..44).chain(48..bytes.len()).collect();
        for (index, value) in changes {
            bytes[changeable[index.index(changeable.len())]] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        listen(&bytes);
    }

    #[test]
    fn any_printable_stream_id_arrives(text in "\\PC{0,120}") {
        let bytes = conclusion(&text);
        match listen(&bytes) {
            Some(Step::Request(request)) => {
                let stream_id = request.stream_id.unwrap();
                prop_assert_eq!(stream_id.as_str(), text);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_text_panics_the_stream_id(text in "(#!::)?\\PC{0,60}") {
        if let Ok(sorted) = StreamIdText::parse(&text) {
            prop_assert!(text.contains(sorted.name()) && !sorted.name().is_empty());
        }
    }

    #[test]
    fn data_is_parsed_as_built(header in data_header(), payload in prop::collection::vec(any::<u8>(), 0..1456)) {
        let packet = Packet::Data { header, payload: &payload };
        let bytes = rebuild(&packet);
        prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
    }

    #[test]
    fn control_is_parsed_as_built(
        header in header(),
        ack in ack(),
        number: u32,
        range in range(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for body in [
            Control::KeepAlive,
            Control::Ack(ack),
            Control::Shutdown,
            Control::AckAck { number },
            Control::DropReq { message: number, range },
            Control::User { subtype: number as u16, body: &body },
        ] {
            let packet = Packet::Control { header, body };
            let bytes = rebuild(&packet);
            prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
        }
    }

    #[test]
    fn losses_are_parsed_as_built(header in header(), ranges in prop::collection::vec(range(), 1..400), room in 16..1600_usize) {
        let mut out = vec![0; room];
        let length = build::nak(&mut out, header, ranges.iter().copied());
        prop_assert!(length <= room.min(16 + 4 * build::NAK_WORDS_MAX));
        if length == 0 {
            prop_assert!(room < 24);
            return Ok(());
        }
        let Control::Nak(nak) = control(&out[..length]) else { panic!("no loss report") };
        let parsed: Vec<_> = nak.ranges().collect();
        prop_assert_eq!(parsed.as_slice(), &ranges[..parsed.len()]);
        prop_assert!(parsed.len() == ranges.len() || length + 8 > room.min(16 + 4 * build::NAK_WORDS_MAX));
    }

    #[test]
    fn handshakes_are_parsed_as_built(
        header in header(),
        words: [u32; 6],
        kind in kind(),
        peer_ip: [u8; 16],
        blocks in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let handshake = Handshake {
            version: words[0],
            encryption: words[1] as u16,
            extension: (words[1] >> 16) as u16,
            isn: Seq::new(words[2]),
            mtu: words[3],
            flow_window: words[4],
            kind,
            socket_id: SocketId(words[5]),
            cookie: words[0] ^ words[5],
            peer_ip,
            blocks: Blocks(&blocks),
        };
        let packet = Packet::Control { header, body: Control::Handshake(handshake) };
        let bytes = rebuild(&packet);
        prop_assert_eq!(bytes.len(), handshake.packet_len());
        prop_assert_eq!(Packet::parse(&bytes), Ok(packet));
    }

    #[test]
    fn sequence_arithmetic_agrees_with_itself(a in seq(), count in 0..0x4000_0000_u32) {
        let b = a.add(count);
        prop_assert_eq!(b.sub(count), a);
        prop_assert_eq!(b.distance(a), count);
        prop_assert_eq!(b.offset(a), count as i32);
        prop_assert_eq!(b.is_after(a), count > 0);
        prop_assert_eq!(a.is_before(b), count > 0);
    }
}
