//! Strangers, forgers and floods: counted, bounded, and no harm to the group that is running.

use std::net::SocketAddr;

use streamhaul_srtla::packet::{self, ID_LEN};
use streamhaul_srtla::{Config, DropReason, GroupEnd, GroupKey, Refusal};

use crate::node::{Answer, Node, modem, path, seconds};

/// A node with a group that carries a session.
fn running() -> (Node, GroupKey) {
    let mut node = Node::new(Config {
        groups_max: 8,
        ..Config::default()
    });
    let (group, _) = node.register(3, &[modem(1), modem(2), modem(3)]);
    node.registry.session_started(node.now, group);
    node.events();
    (node, group)
}

fn stranger(number: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, (number % 200) as u8], 1000 + number))
}

/// The group's links are there, answered, and nothing was reported about them.
fn assert_unharmed(node: &mut Node, group: GroupKey) {
    for number in 1..=3 {
        let link = node.registry.find(modem(number)).unwrap();
        assert_eq!(link.group, group);
        assert!(matches!(node.keepalive(modem(number)), Answer::Echo(_)));
        assert!(node.srt(modem(number)));
    }
}

#[test]
fn a_flood_of_requests_leaves_nothing_and_gets_no_more_than_it_sends() {
    let (mut node, group) = running();
    for number in 0..20_000 {
        let answer = node.reg1(stranger(number), number as u8);
        assert!(matches!(answer, Answer::Id(_)));
    }
    assert_eq!(node.registry.groups(), 1);
    assert!(node.events().is_empty());
    assert_unharmed(&mut node, group);
}

#[test]
fn forged_ids_found_nothing_and_join_nothing() {
    let (mut node, group) = running();
    let real = node.id(stranger(1), 9);
    for at in 0..ID_LEN {
        let mut forged = real;
        forged[at] ^= 0x80;
        assert_eq!(node.reg2(stranger(1), &forged), Answer::NoGroup);
    }
    assert_eq!(node.refused(Refusal::UnknownId), ID_LEN as u64);
    assert_eq!((node.registry.groups(), node.registry.links()), (1, 3));
    assert_unharmed(&mut node, group);
}

#[test]
fn an_old_id_founds_no_group() {
    let (mut node, _) = running();
    let id = node.id(stranger(1), 9);
    node.pass(seconds(180));
    assert_eq!(node.reg2(stranger(1), &id), Answer::NoGroup);
}

#[test]
fn a_source_that_founds_group_after_group_evicts_its_own() {
    let mut node = Node::new(Config::default());
    let phone = node.register(3, &[modem(1)]).0;
    let source = |port| SocketAddr::from(([203, 0, 113, 5], port));
    for port in 1000..1500 {
        node.register(9, &[source(port)]);
    }
    assert_eq!(node.registry.groups(), 1 + 16);
    assert_eq!(node.registry.find(modem(1)).unwrap().group, phone);
    let evicted = node.registry.counters().groups_ended[GroupEnd::Evicted.index()];
    assert_eq!(evicted, 500 - 16);
}

#[test]
fn a_full_table_evicts_what_carries_no_session_and_nothing_else() {
    let (mut node, group) = running();
    for number in 0..100 {
        node.register(9, &[stranger(number)]);
        node.pass(std::time::Duration::from_millis(1));
        assert!(node.registry.groups() <= 8);
    }
    assert_unharmed(&mut node, group);
    // With a session in every group there is nothing to evict.
    for number in 93..100 {
        let link = node.registry.find(stranger(number)).unwrap();
        node.registry.session_started(node.now, link.group);
    }
    assert_eq!(node.reg1(stranger(150), 1), Answer::Refused);
    assert_eq!(node.refused(Refusal::GroupsFull), 1);
    assert_unharmed(&mut node, group);
}

#[test]
fn keepalives_and_packets_of_strangers_have_no_effect() {
    let (mut node, group) = running();
    let before = node.registry.reply_path(node.now, group);
    for number in 0..1000 {
        let nothing = Answer::Nothing(DropReason::UnknownLink);
        assert_eq!(node.keepalive(stranger(number)), nothing);
        assert!(!node.srt(stranger(number)));
    }
    assert_eq!(node.dropped(DropReason::UnknownLink), 1000);
    assert_eq!(node.registry.reply_path(node.now, group), before);
    assert_unharmed(&mut node, group);
}

#[test]
fn what_only_receivers_send_and_noise_are_counted() {
    let (mut node, group) = running();
    let ack = packet::ack(&[srt::Seq::new(1); 10]);
    for bytes in [&packet::REG3[..], &packet::REG_ERR, &packet::REG_NGP, &ack] {
        let answer = node.send(modem(1), bytes);
        assert_eq!(answer, Answer::Nothing(DropReason::NotForReceivers));
    }
    for bytes in [
        &[][..],
        &[0x90],
        &[0x92, 0x00, 1],
        &[0x91, 0, 0, 0],
        &[0x93, 0],
    ] {
        let answer = node.send(modem(1), bytes);
        assert_eq!(answer, Answer::Nothing(DropReason::Malformed));
    }
    assert_eq!(node.dropped(DropReason::NotForReceivers), 4);
    assert_eq!(node.dropped(DropReason::Malformed), 5);
    assert_unharmed(&mut node, group);
}

#[test]
fn whoever_guesses_stream_keys_is_kept_out_and_nobody_else() {
    let (mut node, group) = running();
    let source = |port| SocketAddr::from(([203, 0, 113, 5], port));
    for port in 0..5 {
        node.register(9, &[source(port)]);
        let link = node.registry.find(source(port)).unwrap();
        node.registry.refuse(node.now, link, true);
        assert_eq!(node.registry.groups(), 1, "a refused group is closed");
    }
    let id = node.id(stranger(6), 9);
    assert_eq!(node.reg1(source(9), 9), Answer::Refused);
    assert_eq!(
        node.reg2(source(9), &id),
        Answer::Refused,
        "with another's id"
    );
    assert_eq!(node.refused(Refusal::Throttled), 2);
    assert_eq!(node.registry.counters().sources_blocked, 1);
    assert_unharmed(&mut node, group);
    node.pass(seconds(9));
    node.pass(seconds(52));
    node.register(9, &[source(9)]);
}

#[test]
fn a_stream_that_is_live_already_is_no_guess() {
    let (mut node, _) = running();
    for port in 0..50 {
        let source = SocketAddr::from(([203, 0, 113, 5], port));
        node.register(9, &[source]);
        let link = node.registry.find(source).unwrap();
        node.registry.refuse(node.now, link, false);
    }
    assert_eq!(node.registry.counters().sources_blocked, 0);
}

#[test]
fn timers_of_many_links_are_coalesced() {
    let mut node = Node::new(Config::default());
    for number in 0..500 {
        node.register(number as u8, &[modem(number)]);
        node.now += std::time::Duration::from_millis(1);
    }
    let mut wakes = 0;
    while let Some(at) = node.registry.poll_timeout() {
        node.now = at;
        node.registry.handle_timeout(at);
        wakes += 1;
    }
    assert_eq!(node.registry.groups(), 0);
    assert!(wakes < 40, "{wakes}");
    assert_eq!(node.registry.find(path(modem(1)).peer), None);
}
