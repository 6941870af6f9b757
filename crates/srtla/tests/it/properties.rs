//! No bytes can panic the parser or the registry, replies are bounded, and `parse(build(x)) == x`.

use std::time::Duration;

use proptest::prelude::*;
use srt::Seq;
use streamhaul_srtla::packet::{
    self, ACK_PACKETS, Class, ConnectionInfo, ID_LEN, Packet, REPLY_LEN_MAX, classify,
};
use streamhaul_srtla::{Config, Handled};

use crate::node::{Node, modem, path};

/// Bytes that look like an SRTLA packet more often than chance allows.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![
        0x9000_u16, 0x9100, 0x9200, 0x9201, 0x9202, 0x9210, 0x9211, 0x9212, 0x9001, 0x8000, 0xffff,
    ]);
    let length = prop_oneof![Just(258), Just(38), Just(10), Just(2), 0..1600_usize];
    let rest = length.prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    (kind, rest).prop_map(|(kind, mut bytes)| {
        for (byte, value) in bytes.iter_mut().zip(kind.to_be_bytes()) {
            *byte = value;
        }
        bytes
    })
}

prop_compose! {
    fn info()(words: [u32; 4], window: i32, in_flight: i32) -> ConnectionInfo {
        let [connection_id, rtt_ms, naks, bytes_per_second] = words;
        ConnectionInfo { connection_id, window, in_flight, rtt_ms, naks, bytes_per_second }
    }
}

/// What somebody with a few addresses and a real id does.
#[derive(Debug, Clone)]
enum Step {
    Bytes(u16, Vec<u8>),
    Reg1(u16, u8),
    Reg2(u16, u8),
    KeepAlive(u16),
    Srt(u16),
    Session(u16),
    Refuse(u16),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..6_u16;
    prop_oneof![
        (who.clone(), datagram()).prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        (who.clone(), 0..3_u8).prop_map(|(who, half)| Step::Reg1(who, half)),
        (who.clone(), 0..3_u8).prop_map(|(who, half)| Step::Reg2(who, half)),
        who.clone().prop_map(Step::KeepAlive),
        who.clone().prop_map(Step::Srt),
        who.clone().prop_map(Step::Session),
        who.prop_map(Step::Refuse),
        (1..20_000_u64).prop_map(Step::Pass),
    ]
}

fn small() -> Config {
    Config {
        groups_max: 2,
        links_max: 3,
        ..Config::default()
    }
}

/// Every link is found by its address, and only links are.
fn check(node: &Node) -> Result<(), TestCaseError> {
    let found: Vec<_> = (0..6)
        .filter_map(|n| node.registry.find(modem(n)))
        .collect();
    prop_assert_eq!(found.len(), node.registry.links());
    prop_assert!(node.registry.groups() <= 2);
    for link in found {
        prop_assert!(node.registry.id(link.group).is_some());
        let links = node.registry.broadcast(link.group).count();
        prop_assert!((1..=3).contains(&links));
        prop_assert!(node.registry.reply_path(node.now, link.group).is_some());
    }
    prop_assert_eq!(
        node.registry.poll_timeout().is_some(),
        node.registry.groups() > 0
    );
    Ok(())
}

fn take(node: &mut Node, ids: &[[u8; ID_LEN]], step: &Step) {
    match step {
        Step::Bytes(who, bytes) => drop(node.send(modem(*who), bytes)),
        Step::Reg1(who, half) => drop(node.reg1(modem(*who), *half)),
        Step::Reg2(who, half) => drop(node.reg2(modem(*who), &ids[usize::from(*half)])),
        Step::KeepAlive(who) => drop(node.keepalive(modem(*who))),
        Step::Srt(who) => {
            node.srt(modem(*who));
        }
        Step::Session(who) => {
            if let Some(link) = node.registry.find(modem(*who)) {
                node.registry.session_started(node.now, link.group);
            }
        }
        Step::Refuse(who) => {
            if let Some(link) = node.registry.find(modem(*who)) {
                node.registry.refuse(node.now, link, true);
            }
        }
        Step::Pass(ms) => node.pass(Duration::from_millis(*ms)),
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_the_parser(bytes in datagram()) {
        let class = classify(&bytes);
        match Packet::parse(&bytes) {
            Ok(Packet::KeepAlive(keepalive)) => {
                prop_assert!(keepalive.info().is_none() || keepalive.time_ms().is_some());
                prop_assert_eq!(class, Class::Srtla);
            }
            Ok(Packet::Ack(list)) => prop_assert_eq!(list.seqs().len(), bytes.len() / 4 - 1),
            Ok(_) => prop_assert_eq!(class, Class::Srtla),
            Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_panic_the_registry_and_replies_are_bounded(all in prop::collection::vec(datagram(), 1..50)) {
        let mut node = Node::new(Config::default());
        node.register(3, &[modem(1)]);
        for bytes in all {
            for peer in [modem(1), modem(2)] {
                let mut out = [0; REPLY_LEN_MAX];
                let handled = node.registry.handle_control(node.now, path(peer), &bytes, &mut out);
                if let Ok(Handled::Reply(length)) = handled {
                    prop_assert!(length <= bytes.len().max(32));
                }
            }
        }
        prop_assert_eq!(node.registry.links(), 1);
    }

    #[test]
    fn registrations_are_parsed_as_built(id in prop::collection::vec(any::<u8>(), ID_LEN)) {
        let id: [u8; ID_LEN] = id.try_into().unwrap();
        let (reg1, reg2) = (packet::reg1(&id), packet::reg2(&id));
        prop_assert_eq!(Packet::parse(&reg1), Ok(Packet::Reg1(&id)));
        prop_assert_eq!(Packet::parse(&reg2), Ok(Packet::Reg2(&id)));
    }

    #[test]
    fn acknowledgements_are_parsed_as_built(seqs: [u32; ACK_PACKETS]) {
        let seqs = seqs.map(Seq::new);
        let bytes = packet::ack(&seqs);
        let Ok(Packet::Ack(list)) = Packet::parse(&bytes) else { panic!("no acknowledgement") };
        prop_assert_eq!(list.seqs().collect::<Vec<_>>(), seqs);
    }

    #[test]
    fn keepalives_are_parsed_as_built(time_ms: u64, info in info()) {
        let parsed = |bytes: &[u8]| match Packet::parse(bytes) {
            Ok(Packet::KeepAlive(keepalive)) => (keepalive.time_ms(), keepalive.info()),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(parsed(&packet::keepalive_at(time_ms)), (Some(time_ms), None));
        let bytes = packet::keepalive_with_info(time_ms, &info);
        prop_assert_eq!(parsed(&bytes), (Some(time_ms), Some(info)));
    }

    #[test]
    fn the_books_agree_whatever_happens(steps in prop::collection::vec(step(), 1..120)) {
        let mut node = Node::new(small());
        let ids = [0, 1, 2].map(|half| node.id(modem(100), half));
        for step in steps {
            take(&mut node, &ids, &step);
            check(&node)?;
        }
    }
}
