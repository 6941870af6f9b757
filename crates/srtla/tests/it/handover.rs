//! A group that follows its SRT session to another shard.

use std::net::SocketAddr;

use streamhaul_srtla::{Config, Event};

use crate::node::{Answer, Node, modem};

#[test]
fn a_moved_group_is_found_from_both_shards() {
    let mut first = Node::new(Config::default());
    let mut second = Node::at(first.now, Config::default());
    let (group, id) = first.register(3, &[modem(1), modem(2)]);
    first.srt(modem(1));
    let moved = first.registry.hand_over(group, 1).unwrap();
    let name = moved.id();
    assert_eq!(moved.peers().collect::<Vec<_>>(), [modem(1), modem(2)]);
    let group = second.registry.take_over(second.now, moved);
    assert_eq!(second.registry.id(group), Some(name));
    assert_eq!(second.registry.links(), 2);
    assert!(matches!(second.keepalive(modem(1)), Answer::Echo(_)));
    let samples = second.registry.samples(second.now, group);
    assert_eq!(samples[0].total.packets, 1, "counted before it moved");

    assert_eq!((first.registry.groups(), first.registry.links()), (0, 0));
    assert_eq!(first.keepalive(modem(2)), Answer::Elsewhere(1));
    assert_eq!(first.reg2(modem(3), &id), Answer::Elsewhere(1));
    assert_eq!(second.reg2(modem(3), &id), Answer::Registered);
    first.registry.link_is_elsewhere(modem(3), 1);
    assert_eq!(first.registry.elsewhere(modem(3)), Some(1));

    second.events();
    second.registry.close(group);
    for event in second.events() {
        match event {
            Event::LinkLeft { peer, .. } => first.registry.link_is_gone_elsewhere(peer),
            Event::GroupClosed { id, .. } => first.registry.group_is_gone_elsewhere(id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(first.registry.elsewhere(modem(3)), None);
    first.register(4, &[modem(1)]);
}

#[test]
fn a_group_may_come_back() {
    let mut first = Node::new(Config::default());
    let mut second = Node::at(first.now, Config::default());
    let (group, id) = first.register(3, &[modem(1)]);
    let moved = first.registry.hand_over(group, 1).unwrap();
    let there = second.registry.take_over(second.now, moved);
    let moved = second.registry.hand_over(there, 0).unwrap();
    let back = first.registry.take_over(first.now, moved);
    assert_ne!(back, group, "an old key finds nothing");
    assert!(first.registry.id(group).is_none());
    assert_eq!(first.reg2(modem(1), &id), Answer::Registered);
    assert_eq!(first.registry.find(modem(1)).unwrap().group, back);
    assert_eq!(second.keepalive(modem(1)), Answer::Elsewhere(0));
}

#[test]
fn guesses_at_several_shards_add_up() {
    let mut first = Node::new(Config::default());
    let mut second = Node::at(first.now, Config::default());
    let source = |port| SocketAddr::from(([203, 0, 113, 5], port));
    for port in 0..5 {
        let (here, there) = if port % 2 == 0 {
            (&mut first, &mut second)
        } else {
            (&mut second, &mut first)
        };
        here.register(9, &[source(port)]);
        let link = here.registry.find(source(port)).unwrap();
        here.events();
        here.registry.refuse(here.now, link, true);
        for event in here.events() {
            if let Event::SourceFailed { peer } = event {
                assert_eq!(peer, source(port));
                there.registry.source_failed_elsewhere(there.now, peer);
            }
        }
    }
    assert_eq!(first.reg1(source(9), 9), Answer::Refused);
    assert_eq!(second.reg1(source(9), 9), Answer::Refused);
    let blocked = |node: &Node| node.registry.counters().sources_blocked;
    assert_eq!((blocked(&first), blocked(&second)), (1, 0));
}

#[test]
fn what_is_known_of_other_shards_is_bounded() {
    let config = Config {
        elsewhere_max: 3,
        ..Config::default()
    };
    let mut node = Node::new(config);
    for number in 0..10 {
        node.registry.link_is_elsewhere(modem(number), 1);
    }
    let known = (0..10).filter(|n| node.registry.elsewhere(modem(*n)).is_some());
    assert_eq!(known.count(), 3);
    node.registry.link_is_gone_elsewhere(modem(0));
    node.registry.link_is_elsewhere(modem(9), 2);
    assert_eq!(node.registry.elsewhere(modem(9)), Some(2));
}
