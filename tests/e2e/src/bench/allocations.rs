//! How often the engine asks for memory for a packet that it forwards.
//!
//! The relay is driven here without a socket and in virtual time, by a program
//! whose allocator counts: what its owner allocates is not the relay's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lease::KeySet;
use model::SessionId;
use model::session::Role;
use relay_core::{Assignment, Command, Config, Ingress, KeyedLease, Relay};
use srt::caller::{self, Progress};
use srt::handshake::{Latency, StreamId};
use srt::packet::{Ack, AckDetail, Control, ControlHeader, DataHeader, HEADER_LEN, build};
use srt::{Packet, Seq, SocketId, Timestamp};

use super::payload;
use crate::plane::{self, Terms};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks it for. A program
/// that measures makes it its `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

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

/// Until queues and the ring have found their size, in packets.
const WARM_UP: u64 = 10_000;
const JUDGED: u64 = 20_000;
const PACKET_INTERVAL: Duration = Duration::from_micros(500);
const ACK_PACKETS: u64 = 20;
const LATENCY_MS: u16 = 120;

/// Allocations of the relay for a packet that it forwards to one player.
///
/// # Errors
/// When the allocator does not count, or the relay does not forward.
pub(super) fn per_packet() -> anyhow::Result<f64> {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(0u8)));
    ensure!(ALLOCATIONS.get() > before, "the allocator does not count");
    let mut house = House::new()?;
    let mut publisher = house.call(1, Role::Publish)?;
    let mut player = house.call(2, Role::Play)?;
    for _ in 0..WARM_UP {
        house.forward(&mut publisher, &mut player);
    }
    (house.allocations, house.forwarded) = (0, 0);
    for _ in 0..JUDGED {
        house.forward(&mut publisher, &mut player);
    }
    ensure!(
        house.forwarded == JUDGED,
        "{} of {JUDGED} packets were forwarded",
        house.forwarded
    );
    Ok(house.allocations as f64 / JUDGED as f64)
}

/// A relay, its time, and what it cost.
struct House {
    relay: Relay,
    start: Instant,
    now: Instant,
    allocations: u64,
    forwarded: u64,
}

/// A connected caller.
struct End {
    ingress: Ingress,
    peer: SocketId,
    isn: Seq,
    count: u64,
}

impl House {
    fn new() -> anyhow::Result<Self> {
        let start = Instant::now();
        let keys = KeySet::of([&plane::signing_key()])?;
        let config = Config::default();
        let (node, wall) = (plane::node_id(), plane::now());
        let relay = Relay::new(config, [1; 32], keys.clone(), node.clone(), start, wall);
        let mut house = Self {
            relay,
            start,
            now: start,
            allocations: 0,
            forwarded: 0,
        };
        let keyed = |role| {
            anyhow::Ok(KeyedLease {
                key: plane::stream_key(0, role),
                lease: plane::lease(0, &Terms::Clear, role)?,
                passphrase: None,
            })
        };
        let assignment = Assignment {
            session: SessionId::from_u128(1),
            publish: Some(keyed(Role::Publish)?),
            play: Some(keyed(Role::Play)?),
            pull: None,
            push: Vec::new(),
        };
        let grant = assignment.verify(&keys, &node, wall)?;
        let assign = Command::Assign(Box::new(grant));
        house.relay.handle_command(start, assign)?;
        Ok(house)
    }

    /// Shakes hands as `role` of the session.
    fn call(&mut self, host: u8, role: Role) -> anyhow::Result<End> {
        let address = SocketAddr::from(([192, 0, 2, host], 40_000));
        let ingress = Ingress {
            peer: address,
            local_ip: None,
            socket: 0,
        };
        let mut attempt = caller::Caller::new(
            caller::Settings {
                to: address,
                socket_id: SocketId(u32::from(host)),
                isn: Seq::new(1),
                stream_id: StreamId::new(&plane::stream_id(0, role)),
                latency: Latency {
                    receive_ms: LATENCY_MS,
                    send_ms: LATENCY_MS,
                },
                key: None,
                patience: caller::PATIENCE,
            },
            self.now,
        );
        loop {
            let timestamp = self.timestamp();
            let request = attempt.poll_request(self.now, timestamp);
            let request = request.context("nothing to ask for")?.to_vec();
            for answer in self.ask(ingress, &request) {
                if let Some(end) = agreed(&mut attempt, self.now, &answer, ingress)? {
                    return Ok(end);
                }
            }
            self.now += PACKET_INTERVAL;
        }
    }

    fn ask(&mut self, ingress: Ingress, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.relay.handle_datagram(self.now, ingress, datagram);
        self.relay
            .drain_transmits()
            .iter()
            .map(|transmit| transmit.to_vec())
            .collect()
    }

    /// Lets one packet through, and what timers it makes due.
    fn forward(&mut self, publisher: &mut End, player: &mut End) {
        self.now += PACKET_INTERVAL;
        let number = publisher.count as u32 + 1;
        let seq = publisher.isn.add(publisher.count as u32);
        let header = DataHeader::live(seq, number, self.timestamp(), publisher.peer);
        let mut datagram = [0; HEADER_LEN + payload::PAYLOAD_BYTES];
        datagram[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        publisher.count += 1;
        self.give(publisher, player, |relay, now, from, _| {
            relay.handle_datagram(now, from, &datagram);
        });
        if self.relay.poll_timeout().is_some_and(|at| at <= self.now) {
            self.give(publisher, player, |relay, now, _, _| {
                relay.handle_timeout(now);
            });
        }
        if player.count.is_multiple_of(ACK_PACKETS) {
            let (ack, length) = self.acknowledge(player);
            self.give(publisher, player, |relay, now, _, to| {
                relay.handle_datagram(now, to, &ack[..length]);
            });
        }
    }

    /// Counts what the relay allocates for `work` and takes what it sends.
    fn give(
        &mut self,
        publisher: &End,
        player: &mut End,
        work: impl FnOnce(&mut Relay, Instant, Ingress, Ingress),
    ) {
        let before = ALLOCATIONS.get();
        work(&mut self.relay, self.now, publisher.ingress, player.ingress);
        for transmit in self.relay.drain_transmits().iter() {
            let is_data = transmit.header[0] & 0x80 == 0;
            if is_data && transmit.to == player.ingress.peer {
                player.count += 1;
                self.forwarded += 1;
            }
        }
        self.allocations += ALLOCATIONS.get() - before;
        while self.relay.poll_event().is_some() {}
    }

    fn acknowledge(&self, player: &End) -> ([u8; build::CONTROL_MAX], usize) {
        let mut out = [0; build::CONTROL_MAX];
        let header = ControlHeader {
            timestamp: self.timestamp(),
            destination: player.peer,
        };
        let ack = Ack {
            number: (player.count / ACK_PACKETS) as u32 + 1,
            next: player.isn.add(player.count as u32),
            detail: Some(AckDetail {
                rtt_us: 100,
                rtt_var_us: 25,
                buffer_available: 8192,
                rates: None,
            }),
        };
        let length = build::ack(&mut out, header, &ack);
        (out, length)
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::after_start(self.now - self.start)
    }
}

fn agreed(
    attempt: &mut caller::Caller,
    now: Instant,
    answer: &[u8],
    ingress: Ingress,
) -> anyhow::Result<Option<End>> {
    let Ok(Packet::Control {
        header,
        body: Control::Handshake(handshake),
    }) = Packet::parse(answer)
    else {
        return Ok(None);
    };
    match attempt.handle(now, header, &handshake)? {
        Progress::Concluding => Ok(None),
        Progress::Connected(agreement) => Ok(Some(End {
            ingress,
            peer: agreement.peer_id,
            isn: agreement.isn,
            count: 0,
        })),
    }
}
