//! A listener that is no node: what it answers is made by hand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use srt::handshake::{
    Blocks, EXTENSION_HSREQ, FEATURES_LEN, Features, HSRSP, Handshake, Kind, Latency, MAGIC,
    write_features,
};
use srt::listener::{SRT_FLAGS, SRT_VERSION};
use srt::packet::{Control, ControlHeader, DataHeader};
use srt::{Packet, Seq, SocketId, Timestamp};
use streamhaul_relay_core::Remote;

use crate::caller::Spec;
use crate::fleet::{Fleet, remote};
use crate::leases::{assignment, live};

/// Where no node of a fleet is.
pub(crate) const NOWHERE: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 9000);

/// An answer without extensions to the caller's socket `to`.
pub(crate) fn answer(kind: Kind, to: SocketId) -> Vec<u8> {
    written(to, kind, MAGIC, &[])
}

/// A listener's agreement to these latencies.
pub(crate) fn agreement(latency: Latency, to: SocketId) -> Vec<u8> {
    let features = Features {
        version: SRT_VERSION,
        flags: SRT_FLAGS,
        latency,
    };
    let mut blocks = [0; FEATURES_LEN];
    write_features(&mut blocks, HSRSP, &features);
    written(to, Kind::Conclusion, EXTENSION_HSREQ, &blocks)
}

fn written(to: SocketId, kind: Kind, extension: u16, blocks: &[u8]) -> Vec<u8> {
    let handshake = Handshake {
        version: 5,
        encryption: 0,
        extension,
        isn: Seq::new(1),
        mtu: 1500,
        flow_window: 8192,
        kind,
        socket_id: SocketId(9),
        cookie: 0,
        peer_ip: [0; 16],
        blocks: Blocks(blocks),
    };
    let header = ControlHeader {
        timestamp: Timestamp(0),
        destination: to,
    };
    let mut packet = vec![0; handshake.packet_len()];
    handshake.write(&mut packet, header);
    packet
}

/// The last request of a call: when it was sent on the call's clock, and the
/// latency that it proposes.
fn last_request(fleet: &Fleet) -> (Timestamp, Latency) {
    match Packet::parse(fleet.strays.last().unwrap()).unwrap() {
        Packet::Control {
            header,
            body: Control::Handshake(handshake),
        } => {
            let extensions = handshake.extensions().unwrap();
            (header.timestamp, extensions.request.unwrap().latency)
        }
        other => panic!("{other:?}"),
    }
}

fn last_data(fleet: &Fleet) -> DataHeader {
    let packets = fleet.strays.iter().rev();
    let mut packets = packets.map(|datagram| Packet::parse(datagram).unwrap());
    let data = packets.find_map(|packet| match packet {
        Packet::Data { header, .. } => Some(header),
        Packet::Control { .. } => None,
    });
    data.expect("a data packet")
}

/// libsrt takes at least what is proposed; others may not. What such a listener
/// gets is stamped later by what its buffer lacks.
#[test]
fn a_listener_that_agrees_to_too_little_latency_plays_late_enough() {
    const NEEDED_MS: u16 = 120 + 60;
    const AGREED_MS: u16 = 20;
    let mut fleet = Fleet::new(1);
    fleet.names.insert("elsewhere".into(), Ok(NOWHERE));
    let mut pushed = assignment(1);
    pushed.push = vec![Remote {
        host: "elsewhere".into(),
        ..remote(0, "")
    }];
    fleet.assign(0, pushed);
    fleet.publisher(0, Spec::new(1, live(1)));
    fleet.run(Duration::from_millis(100));
    let socket = fleet.calling_socket();
    fleet.inject(0, NOWHERE, &answer(Kind::Induction, socket));
    fleet.run(Duration::from_millis(1));
    let (began, proposed) = last_request(&fleet);
    assert_eq!(proposed.send_ms, NEEDED_MS);
    let agreed = Latency {
        receive_ms: AGREED_MS,
        send_ms: 0,
    };
    fleet.inject(0, NOWHERE, &agreement(agreed, socket));
    fleet.run_s(1);
    let samples = fleet.nodes[0].relay.samples(fleet.now);
    assert_eq!(samples[0].players[0].latency_ms, u32::from(NEEDED_MS));
    // Paths take no time here: the newest packet is as old as the connection.
    let ahead_us = last_data(&fleet).timestamp.0.wrapping_sub(began.0);
    let expected_us = 1_001_000 + u32::from(NEEDED_MS - AGREED_MS) * 1000;
    assert!(ahead_us.abs_diff(expected_us) < 5000, "{ahead_us} us");
}
