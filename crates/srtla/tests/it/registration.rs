//! How groups and links come, stay and go.

use std::time::Duration;

use streamhaul_srtla::packet::{self, ID_LEN};
use streamhaul_srtla::{Config, DropReason, Event, GroupEnd, LinkEnd, Refusal};

use crate::node::{Answer, Node, modem, seconds};

#[test]
fn a_sender_registers_as_senders_do() {
    let mut node = Node::new(Config::default());
    assert_eq!(node.reg2(modem(1), &[3; ID_LEN]), Answer::NoGroup);
    let (group, _) = node.register(3, &[modem(1), modem(2), modem(3)]);
    assert_eq!((node.registry.groups(), node.registry.links()), (1, 3));
    let opened = node.events();
    let id = node.registry.id(group).unwrap();
    assert_eq!(opened[0], Event::GroupOpened { group, id });
    assert!(matches!(opened[1..], [
        Event::LinkJoined { .. },
        Event::LinkJoined { .. },
        Event::LinkJoined { peer, .. },
    ] if peer == modem(3)));
}

#[test]
fn a_request_leaves_nothing_behind_and_may_be_repeated() {
    let mut node = Node::new(Config::default());
    let id = node.id(modem(1), 3);
    assert_eq!(node.id(modem(1), 3), id, "the answer was lost");
    assert_ne!(
        node.id(modem(2), 3),
        id,
        "another sender with the same half"
    );
    assert_eq!(node.registry.groups(), 0);
    assert_eq!(node.registry.poll_timeout(), None);
}

#[test]
fn a_registered_link_is_registered_again() {
    let mut node = Node::new(Config::default());
    let (_, id) = node.register(3, &[modem(1), modem(2)]);
    assert_eq!(node.reg2(modem(2), &id), Answer::Registered);
    assert_eq!(node.registry.links(), 2);
    assert_eq!(node.registry.counters().links_confirmed, 1);
}

#[test]
fn keepalives_are_sent_back_as_they_came_padded_to_32_bytes() {
    let mut node = Node::new(Config::default());
    node.register(3, &[modem(1)]);
    for plain in [&packet::keepalive()[..], &packet::keepalive_at(u64::MAX)] {
        let mut padded = plain.to_vec();
        padded.resize(32, 0);
        assert_eq!(node.send(modem(1), plain), Answer::Echo(padded));
    }
    let extended = packet::keepalive_with_info(5, &packet::ConnectionInfo::default());
    assert_eq!(
        node.send(modem(1), &extended),
        Answer::Echo(extended.to_vec())
    );
}

#[test]
fn a_link_in_use_does_not_move_to_another_group() {
    let mut node = Node::new(Config::default());
    node.register(3, &[modem(1), modem(2)]);
    let other = node.id(modem(9), 4);
    assert_eq!(node.reg1(modem(1), 5), Answer::Refused);
    assert_eq!(node.reg2(modem(1), &other), Answer::Refused);
    assert_eq!(node.refused(Refusal::AddressTaken), 2);
}

#[test]
fn a_sender_that_starts_again_on_the_same_port_gets_in_after_four_seconds() {
    let mut node = Node::new(Config::default());
    node.register(3, &[modem(1), modem(2)]);
    node.pass(seconds(4) + Duration::from_millis(1));
    let (_, id) = node.register(5, &[modem(1)]);
    assert_eq!(node.reg2(modem(2), &id), Answer::Registered);
    let taken = node.registry.counters().links_ended[LinkEnd::TakenOver.index()];
    assert_eq!(taken, 2);
}

#[test]
fn a_link_that_says_nothing_is_gone_after_ten_seconds_and_not_before() {
    let mut node = Node::new(Config::default());
    let (group, _) = node.register(3, &[modem(1), modem(2)]);
    node.events();
    for _ in 0..9 {
        node.pass(seconds(1));
        node.keepalive(modem(1));
    }
    assert_eq!(node.registry.links(), 2);
    node.pass(seconds(1));
    node.keepalive(modem(1));
    node.pass(Duration::from_millis(200));
    let id = node.registry.id(group).unwrap();
    let gone = Event::LinkLeft {
        id,
        peer: modem(2),
        end: LinkEnd::TimedOut,
    };
    assert_eq!(node.events(), [gone]);
    assert_eq!(
        node.keepalive(modem(2)),
        Answer::Nothing(DropReason::UnknownLink)
    );
}

#[test]
fn a_group_outlives_all_its_links_for_thirty_seconds_after_the_last_word() {
    let mut node = Node::new(Config::default());
    // Old enough that a lifetime counted from its creation would be over.
    let (group, id) = node.register(3, &[modem(1)]);
    for _ in 0..300 {
        node.pass(seconds(1));
        node.keepalive(modem(1));
    }
    node.registry.session_started(node.now, group);
    node.pass(seconds(29));
    assert_eq!((node.registry.groups(), node.registry.links()), (1, 0));
    assert_eq!(
        node.reg2(modem(7), &id),
        Answer::Registered,
        "out of the tunnel"
    );
    assert_eq!(node.registry.find(modem(7)).unwrap().group, group);
    node.events();
    node.pass(seconds(31));
    assert_eq!(node.registry.groups(), 0);
    assert!(node.events().iter().any(|event| matches!(
        event,
        Event::GroupClosed {
            end: GroupEnd::TimedOut,
            ..
        }
    )));
    assert_eq!(node.reg2(modem(7), &id), Answer::NoGroup);
    assert_eq!(node.registry.poll_timeout(), None);
}

#[test]
fn a_full_group_gives_up_its_longest_silent_link() {
    let mut node = Node::new(Config::default());
    let peers: Vec<_> = (0..16).map(modem).collect();
    let (_, id) = node.register(3, &peers);
    assert_eq!(
        node.reg2(modem(20), &id),
        Answer::Refused,
        "all of them are alive"
    );
    assert_eq!(node.refused(Refusal::LinksFull), 1);
    node.pass(seconds(5));
    peers[1..].iter().for_each(|peer| {
        node.keepalive(*peer);
    });
    assert_eq!(node.reg2(modem(20), &id), Answer::Registered);
    assert_eq!(node.registry.links(), 16);
    assert_eq!(node.registry.find(modem(0)), None);
    assert!(node.registry.find(modem(15)).is_some());
}

#[test]
fn answers_follow_srt_packets_and_not_keepalives() {
    let mut node = Node::new(Config::default());
    let (group, _) = node.register(3, &[modem(1), modem(2), modem(3)]);
    let reply = |node: &Node| node.registry.reply_path(node.now, group).unwrap().peer;
    assert!(node.srt(modem(2)));
    node.pass(seconds(1));
    node.keepalive(modem(3));
    assert_eq!(reply(&node), modem(2));
    node.pass(Duration::from_millis(600));
    assert_eq!(
        reply(&node),
        modem(3),
        "the link of the last packet has died"
    );
    let all: Vec<_> = node
        .registry
        .broadcast(group)
        .map(|path| path.peer)
        .collect();
    assert_eq!(all, [modem(1), modem(2), modem(3)]);
}

#[test]
fn a_restarted_receiver_knows_no_old_id() {
    let mut node = Node::new(Config::default());
    let (_, id) = node.register(3, &[modem(1)]);
    let now = node.now;
    node.registry = streamhaul_srtla::Registry::new(Config::default(), [8; 32], now);
    assert_eq!(
        node.keepalive(modem(1)),
        Answer::Nothing(DropReason::UnknownLink)
    );
    assert!(!node.srt(modem(1)));
    assert_eq!(node.reg2(modem(1), &id), Answer::NoGroup);
    node.register(4, &[modem(1)]);
}

#[test]
fn ipv6_links_join_the_same_group() {
    let mut node = Node::new(Config::default());
    let v6 = "[2001:db8::1]:5000".parse().unwrap();
    let mapped = "[::ffff:198.51.0.1]:40000".parse().unwrap();
    node.register(3, &[v6, modem(1)]);
    assert!(matches!(node.keepalive(v6), Answer::Echo(_)));
    assert!(
        matches!(node.keepalive(mapped), Answer::Echo(_)),
        "one modem(1)"
    );
}
