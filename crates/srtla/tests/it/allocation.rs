//! Nothing is allocated for a packet of a bonded stream.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use srt::packet::DataHeader;
use srt::receiver::Arrival;
use srt::{Seq, SeqRange, SocketId, Timestamp};
use streamhaul_srtla::reorder::{Gap, Settings};
use streamhaul_srtla::{Config, GroupKey};

use crate::node::{Node, modem, path};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Takes packet `number`, asks what a relay asks, and answers what a relay answers.
fn take(node: &mut Node, group: GroupKey, number: u32) {
    let (now, seq) = (node.now, Seq::new(number));
    let from = path(modem((number % 3) as u16));
    let timestamp = Timestamp::after_start(Duration::from_millis(number.into()));
    let header = DataHeader::live(seq, 1, timestamp, SocketId(1));
    let link = node.registry.handle_srt(now, from, 1332).unwrap();
    let arrival = Arrival::New { index: 0 };
    node.registry.handle_data(now, link, &header, arrival);
    if number % 50 == 49 {
        let gap = Gap {
            last: seq.previous(),
            opened_at: now,
        };
        let settings = Settings::for_latency(Duration::from_secs(2));
        let until = node.registry.hold_until(now, group, &settings, &gap);
        assert!(until >= now);
        let range = SeqRange::single(seq.add(1));
        node.registry.handle_lost(now, group, range);
        assert_eq!(node.registry.broadcast(group).count(), 3);
        assert!(node.registry.reply_path(now, group).is_some());
    }
    node.now += Duration::from_millis(1);
    node.registry.handle_timeout(node.now);
}

#[test]
fn a_bonded_stream_allocates_nothing() {
    let mut node = Node::new(Config::default());
    let (group, _) = node.register(3, &[modem(0), modem(1), modem(2)]);
    node.registry.session_started(node.now, group);
    (0..100).for_each(|number| take(&mut node, group, number));
    ALLOCATIONS.set(0);
    (100..50_000).for_each(|number| take(&mut node, group, number));
    assert_eq!(ALLOCATIONS.get(), 0);
    assert_eq!(node.registry.counters().acks, 4998);
}

#[test]
fn a_request_for_a_group_allocates_nothing() {
    let mut node = Node::new(Config::default());
    let reg1 = streamhaul_srtla::packet::reg1(&[1; 256]);
    let mut out = [0; streamhaul_srtla::packet::REPLY_LEN_MAX];
    ALLOCATIONS.set(0);
    for number in 0..1000 {
        let handled = node
            .registry
            .handle_control(node.now, path(modem(number)), &reg1, &mut out);
        assert!(handled.is_ok());
    }
    assert_eq!(ALLOCATIONS.get(), 0);
}
