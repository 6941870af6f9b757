//! A node's relays under arbitrary datagrams, time and commands.
//!
//! An input is a script: each byte chooses what happens next, and the bytes
//! behind it how. Half of what happens is what honest peers do (handshakes with
//! the right cookie, data in order, reports of real losses), so that the script
//! gets deep; the rest is anything.
//!
//! After every call the promises are checked: no more bytes to an address than
//! came from it before its cookie is proven, nothing to an address that never
//! sent, only whole SRT packets, a bounded turn, no timer that spins, bounded
//! memory; at the end everybody has timed out.

use std::time::Duration;

use model::session::Role;
use relay_core::Command;
use srt::handshake::{
    FEATURES_LEN, Features, HSREQ, Kind, Latency, SID, TEXT_BLOCK_MAX, write_features, write_text,
};
use srt::packet::{ControlHeader, DataHeader, build};
use srt::{Seq, SeqRange, SocketId, Timestamp};

use crate::input::Input;
use crate::node::{HOSTS, Node};
use crate::{memory, world};

/// What such a small node may hold at most: rings, tables and queues together.
const MEMORY_MAX: i64 = 24 << 20;

/// Plays a script to a node.
pub fn relay(bytes: &[u8]) {
    // What is made once for all inputs is no part of any input's memory.
    let _ = (world::lease(1, Role::Play), world::grant(1));
    let _ = (world::keys(false), crate::start());
    play(bytes).end();
}

fn play(bytes: &[u8]) -> Node {
    let before = memory::held();
    let mut script = Script { node: Node::new() };
    for session in &world::SESSIONS[..2] {
        script
            .node
            .command(&Command::Assign(Box::new(world::grant(*session))));
    }
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        script.step(&mut input);
        let grown = memory::held() - before;
        assert!(grown <= MEMORY_MAX, "the node grew by {grown} bytes");
    }
    script.node
}

struct Script {
    node: Node,
}

impl Script {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 16 {
            0 | 1 => self.wait(input),
            2 => self.anything(input),
            3 => self.induction(input),
            4..=6 => self.conclusion(input),
            7..=10 => self.data(input),
            11 => self.control(input),
            12 => self.loss_report(input),
            13 => self.acknowledgement(input),
            14 => self.directive(input),
            _ => self.node.look(),
        }
    }

    /// From a millisecond to an hour and a quarter, longer than a timestamp wraps.
    fn wait(&mut self, input: &mut Input<'_>) {
        let amount = Duration::from_micros(u64::from(input.u8()) * 257);
        let scale = [1, 1, 1, 10, 100, 1000, 10_000, 70_000][input.below(8)];
        self.node.run(amount * scale);
    }

    fn anything(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let mut datagram = input.short_bytes().to_vec();
        let to = input.below(2 * HOSTS);
        if let (Some(id), true) = (
            self.connection(to % HOSTS),
            to < HOSTS && datagram.len() >= 16,
        ) {
            datagram[12..16].copy_from_slice(&id.0.to_be_bytes());
        }
        self.node.datagram(from, &datagram);
    }

    fn connection(&self, host: usize) -> Option<SocketId> {
        self.node.hosts[host].connection
    }

    fn induction(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let packet = self.node.handshake(from, Kind::Induction, 0, &[]);
        self.node.datagram(from, &packet);
    }

    fn conclusion(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let choices = input.u8();
        let stream_id = stream_id(choices, input);
        if choices & 0x20 != 0 {
            self.node.hosts[from].isn = Seq::new(input.u32());
        }
        if choices & 0x40 != 0 {
            self.node.hosts[from].id = SocketId(input.u32());
        }
        let latency_ms = if choices & 0x80 == 0 {
            120
        } else {
            input.u16()
        };
        self.node.hosts[from].ingress.socket = input.u8() % 4;
        let cookie = self.node.cookie(from);
        let blocks = blocks(latency_ms, &stream_id);
        let packet = self.node.handshake(from, Kind::Conclusion, cookie, &blocks);
        self.node.hosts[from].next = self.node.hosts[from].isn;
        self.node.datagram(from, &packet);
    }

    /// A run of packets, with a gap or a step back before it.
    fn data(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let Some(destination) = self.connection(from) else {
            return;
        };
        let choices = input.u8();
        let first = match choices & 3 {
            0 | 1 => self.node.hosts[from].next,
            2 => self.node.hosts[from]
                .next
                .add(input.u32() >> input.below(32)),
            _ => self.node.hosts[from].next.sub(u32::from(input.u16())),
        };
        let timestamp = if choices & 4 == 0 {
            self.node.timestamp()
        } else {
            Timestamp(input.u32())
        };
        let length = if choices & 8 == 0 {
            188
        } else {
            usize::from(input.u16()) % 1600
        };
        let count = 1 + input.u32_below(64);
        for place in 0..count {
            let seq = first.add(place * (1 + u32::from(choices >> 7)));
            let header = DataHeader {
                retransmitted: choices & 0x10 != 0,
                ..DataHeader::live(seq, place + 1, timestamp, destination)
            };
            let mut packet = header.to_bytes().to_vec();
            packet.resize(packet.len() + length, place as u8);
            if choices & 0x20 != 0 {
                packet[4] ^= input.u8();
            }
            self.node.datagram(from, &packet);
            self.node.hosts[from].next = seq.next();
        }
    }

    /// A control packet of any kind with any content, perhaps from somewhere else.
    fn control(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let Some(destination) = self.connection(input.below(HOSTS)) else {
            return;
        };
        let kind = if input.below(4) == 0 {
            input.u16()
        } else {
            u16::from(input.u8() % 9)
        };
        let words = [
            0x8000_0000 | u32::from(kind) << 16 | u32::from(input.u8()),
            input.u32(),
            input.u32(),
            destination.0,
        ];
        let mut packet: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        packet.extend_from_slice(input.short_bytes());
        self.node.datagram(from, &packet);
    }

    fn loss_report(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let Some(header) = self.control_header(from) else {
            return;
        };
        let isn = self.node.hosts[from].isn;
        let count = 1 + input.below(200);
        let ranges: Vec<SeqRange> = (0..count)
            .filter_map(|_| {
                let first = isn.add(u32::from(input.u16()) >> input.below(16));
                SeqRange::new(first, first.add(u32::from(input.u16()) >> input.below(16)))
            })
            .collect();
        let mut buffer = [0; 1472];
        let length = build::nak(&mut buffer, header, ranges);
        self.node.datagram(from, &buffer[..length]);
    }

    fn acknowledgement(&mut self, input: &mut Input<'_>) {
        let from = input.below(HOSTS);
        let Some(header) = self.control_header(from) else {
            return;
        };
        let number = u32::from(input.u8());
        let mut buffer = [0; build::CONTROL_MAX];
        let length = build::ackack(&mut buffer, header, number);
        self.node.datagram(from, &buffer[..length]);
    }

    fn control_header(&self, from: usize) -> Option<ControlHeader> {
        Some(ControlHeader {
            timestamp: self.node.timestamp(),
            destination: self.connection(from)?,
        })
    }

    fn directive(&mut self, input: &mut Input<'_>) {
        let session = world::SESSIONS[input.below(world::SESSIONS.len())];
        let command = match input.below(8) {
            0 | 1 => Command::Assign(Box::new(world::grant(session))),
            2 => Command::Revoke {
                session: world::session_id(session),
                reason: "requested".to_owned(),
            },
            3 => Command::Drain(input.below(2) == 1),
            4 => Command::Limits {
                sessions_max: u32::from(input.u8() % 4),
            },
            5 => Command::Keys(world::keys(input.below(2) == 1)),
            6 => Command::Clock(
                world::WALL_START.plus(Duration::from_secs(u64::from(input.u16()) >> 4)),
            ),
            _ => {
                let (granted, kept) = (input.below(3), input.below(4));
                let grants = world::SESSIONS[..granted].iter().copied();
                let keep = world::SESSIONS[..kept].iter().copied();
                Command::Resync {
                    grants: grants.map(world::grant).collect(),
                    keep: keep.map(world::session_id).collect(),
                }
            }
        };
        self.node.command(&command);
    }
}

/// A key or a lease that is good, or any text.
fn stream_id(choices: u8, input: &mut Input<'_>) -> String {
    let role = world::ROLES[usize::from(choices & 1)];
    match (choices >> 1) & 0xf {
        0..=4 => world::stream_id(1, role),
        5..=8 => world::stream_id(2, role),
        9..=12 => world::lease(3, role).to_owned(),
        _ => String::from_utf8_lossy(input.short_bytes())
            .chars()
            .take(500)
            .collect(),
    }
}

fn blocks(latency_ms: u16, stream_id: &str) -> Vec<u8> {
    let mut blocks = vec![0; FEATURES_LEN + TEXT_BLOCK_MAX];
    let features = Features {
        version: 0x01_05_01,
        flags: 0xbf,
        latency: Latency::both(latency_ms),
    };
    let mut length = write_features(&mut blocks, HSREQ, &features);
    if stream_id.len() <= TEXT_BLOCK_MAX - 4 {
        length += write_text(&mut blocks[length..], SID, stream_id);
    }
    blocks.truncate(length);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_deep() {
        let publish = [4, 0, 0, 0];
        let play_it = [4, 1, 1, 0];
        let data = [7, 0, 0, 20];
        let wait = [0, 100, 3];
        let gap = [7, 0, 2, 0, 0, 0, 5, 0, 5];
        let loss_report = [12, 1, 0, 0, 3, 0, 0, 9, 0];
        let script = [
            &publish[..],
            &data,
            &wait,
            &play_it,
            &data,
            &wait,
            &gap,
            &loss_report,
        ];
        let mut node = play(&script.concat());
        let now = node.now;
        let relays = node.relays.iter_mut();
        let mut samples = relays.flat_map(|relay| relay.samples(now));
        let sample = samples.find(|sample| sample.publishing);
        let sample = sample.expect("somebody publishes");
        let publisher = sample.publisher.expect("somebody publishes");
        assert_eq!(publisher.packets_total, 21 + 21 + 6);
        assert_eq!(publisher.packets_lost_total, 5);
        assert_eq!(sample.players[0].packets_total, 21 + 6 + 10);
        assert_eq!(sample.players[0].packets_retransmitted_total, 10);
    }
}
