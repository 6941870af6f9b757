//! What real senders sent is understood, and answered byte for byte as a real receiver did.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use srt::Seq;
use srt::packet::{Control, Packet as SrtPacket};
use srt::receiver::{Receiver, Settings};
use streamhaul_srtla::packet::{self, Class, ID_LEN, Packet, REPLY_LEN_MAX, classify};
use streamhaul_srtla::{Config, Handled, Registry};
use testkit::capture::{self, Datagram};

use crate::node;

const CAPTURES: [&str; 2] = ["srtla-sender-belabox.pcap", "srtla-sender-rust.pcap"];
const RECEIVER_PORT: u16 = 15_000;

fn read(name: &str) -> Vec<Datagram> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    capture::read(&path).unwrap()
}

fn rebuild(packet: Packet<'_>) -> Vec<u8> {
    match packet {
        Packet::KeepAlive(keepalive) => match (keepalive.time_ms(), keepalive.info()) {
            (Some(time_ms), Some(info)) => packet::keepalive_with_info(time_ms, &info).to_vec(),
            // The receiver padded the short ones: their time is the padding.
            _ if keepalive.bytes().len() == 32 => {
                let mut out = [0; packet::KEEPALIVE_LEN_MAX];
                let length = packet::keepalive_echo(&mut out, keepalive);
                out[..length].to_vec()
            }
            (Some(time_ms), None) => packet::keepalive_at(time_ms).to_vec(),
            (None, _) => packet::keepalive().to_vec(),
        },
        Packet::Ack(list) => {
            let seqs: Vec<Seq> = list.seqs().collect();
            packet::ack(&seqs.try_into().unwrap()).to_vec()
        }
        Packet::Reg1(id) => packet::reg1(id).to_vec(),
        Packet::Reg2(id) => packet::reg2(id).to_vec(),
        Packet::Reg3 => packet::REG3.to_vec(),
        Packet::RegErr => packet::REG_ERR.to_vec(),
        Packet::RegNgp => packet::REG_NGP.to_vec(),
        Packet::RegNak => panic!("sent by nobody"),
    }
}

#[test]
fn every_packet_is_sorted_and_every_srtla_packet_rebuilt_byte_for_byte() {
    for name in CAPTURES {
        let (mut srt, mut srtla) = (0, 0);
        for datagram in read(name) {
            let bytes = datagram.payload;
            match classify(&bytes) {
                Class::Srt => {
                    srt += 1;
                    assert!(SrtPacket::parse(&bytes).is_ok(), "{name}");
                }
                Class::Srtla => {
                    srtla += 1;
                    assert_eq!(rebuild(Packet::parse(&bytes).unwrap()), bytes, "{name}");
                }
                Class::Unknown => panic!("{name}: {bytes:02x?}"),
            }
        }
        assert!(srt > 700 && srtla >= 43, "{name}: {srt} SRT, {srtla} SRTLA");
    }
}

#[test]
fn extended_keepalives_say_how_the_link_is() {
    let datagrams = read(CAPTURES[1]);
    let info = datagrams
        .iter()
        .find_map(|datagram| match Packet::parse(&datagram.payload) {
            Ok(Packet::KeepAlive(keepalive)) => keepalive.info(),
            _ => None,
        })
        .unwrap();
    assert_eq!((info.connection_id, info.window), (0x5a4d_9c72, 20_000));
    assert_eq!((info.in_flight, info.rtt_ms, info.naks), (4, 0, 0));
}

/// The captured senders, played to a registry of ours.
struct Replay {
    registry: Registry,
    start: Instant,
    receiver: Option<Receiver>,
    /// The id that the captured receiver gave out, and ours.
    ids: Option<([u8; ID_LEN], [u8; ID_LEN])>,
    theirs: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
    ours: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
}

impl Replay {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            registry: Registry::new(Config::default(), [1; 32], start),
            start,
            receiver: None,
            ids: None,
            theirs: BTreeMap::new(),
            ours: BTreeMap::new(),
        }
    }

    fn step(&mut self, at: Duration, datagram: &Datagram) {
        let now = self.start + at;
        match (
            datagram.to.port() == RECEIVER_PORT,
            classify(&datagram.payload),
        ) {
            (true, Class::Srtla) => self.sender_control(now, datagram),
            (true, _) => self.sender_srt(now, datagram),
            (false, Class::Srtla) => self.receiver_control(datagram),
            (false, _) => {}
        }
    }

    fn sender_control(&mut self, now: Instant, datagram: &Datagram) {
        let mut bytes = datagram.payload.clone();
        if let (Ok(Packet::Reg2(id)), Some((theirs, ours))) = (Packet::parse(&bytes), self.ids)
            && *id == theirs
        {
            bytes = packet::reg2(&ours).to_vec();
        }
        let mut out = [0; REPLY_LEN_MAX];
        let path = node::path(datagram.from);
        match self.registry.handle_control(now, path, &bytes, &mut out) {
            Ok(Handled::Reply(length)) => self.answer(datagram.from, &out[..length]),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.ours.entry(to).or_default().push(bytes.to_vec());
    }

    fn sender_srt(&mut self, now: Instant, datagram: &Datagram) {
        let path = node::path(datagram.from);
        let bytes = &datagram.payload;
        let link = self.registry.handle_srt(now, path, bytes.len()).unwrap();
        match SrtPacket::parse(bytes).unwrap() {
            SrtPacket::Data { header, payload } => {
                let receiver = self.receiver.as_mut().unwrap();
                let deadline = now + Duration::from_secs(1);
                let arrival = receiver.handle_data(now, header.seq, payload.len(), false, deadline);
                if let Some(ack) = self.registry.handle_data(now, link, &header, arrival) {
                    self.answer(datagram.from, &ack);
                }
            }
            SrtPacket::Control {
                body: Control::Handshake(handshake),
                ..
            } if handshake.version == 5 => {
                self.registry.session_started(now, link.group);
                let settings = Settings {
                    isn: handshake.isn,
                    window_packets: 8192,
                    gaps_max: 64,
                };
                self.receiver = Some(Receiver::new(settings, now));
            }
            SrtPacket::Control { .. } => {}
        }
    }

    fn receiver_control(&mut self, datagram: &Datagram) {
        let to = datagram.to;
        let mut bytes = datagram.payload.clone();
        if let Ok(Packet::Reg2(id)) = Packet::parse(&bytes) {
            let ours = self.ours[&to].last().unwrap();
            let Ok(Packet::Reg2(our_id)) = Packet::parse(ours) else {
                panic!("the id was not answered with one")
            };
            assert_eq!(our_id[..128], id[..128], "the sender's half");
            self.ids = Some((*id, *our_id));
            bytes = packet::reg2(our_id).to_vec();
        }
        self.theirs.entry(to).or_default().push(bytes);
    }
}

#[test]
fn captured_senders_get_the_captured_answers() {
    for name in CAPTURES {
        let datagrams = read(name);
        let mut replay = Replay::new();
        for datagram in &datagrams {
            replay.step(datagram.at - datagrams[0].at, datagram);
        }
        assert_eq!(replay.ours, replay.theirs, "{name}");
        let counters = replay.registry.counters();
        assert_eq!((counters.groups_opened, counters.links_joined), (1, 3));
        assert!(counters.acks >= 9 && counters.keepalives >= 10, "{name}");
        let now = replay.start + (datagrams.last().unwrap().at - datagrams[0].at);
        let link = replay.registry.find(*replay.ours.keys().next().unwrap());
        let samples = replay.registry.samples(now, link.unwrap().group);
        let unique: u64 = samples.iter().map(|sample| sample.total.unique).sum();
        assert_eq!((samples.len(), unique), (3, 113), "{name}");
    }
}
