//! A registry with a clock, and shorthand for what senders do to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use streamhaul_srtla::packet::{self, ID_LEN, Packet, REPLY_LEN_MAX};
use streamhaul_srtla::{Config, DropReason, Event, GroupKey, Handled, Path, Refusal, Registry};

/// What a control packet was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Id(Box<[u8; ID_LEN]>),
    Registered,
    Refused,
    NoGroup,
    Echo(Vec<u8>),
    Elsewhere(u16),
    Nothing(DropReason),
}

pub(crate) struct Node {
    pub(crate) registry: Registry,
    pub(crate) now: Instant,
}

impl Node {
    pub(crate) fn new(config: Config) -> Self {
        Self::at(Instant::now(), config)
    }

    /// A shard of the node that started at `epoch`.
    pub(crate) fn at(epoch: Instant, config: Config) -> Self {
        Self {
            registry: Registry::new(config, [7; 32], epoch),
            now: epoch,
        }
    }

    /// Lets time pass, and the registry notice it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.registry.poll_timeout().filter(|at| *at <= end) {
            assert!(at > self.now, "a timer that does not move");
            self.now = at;
            self.registry.handle_timeout(at);
        }
        self.now = end;
    }

    pub(crate) fn send(&mut self, from: SocketAddr, datagram: &[u8]) -> Answer {
        let mut out = [0; REPLY_LEN_MAX];
        let handled = self
            .registry
            .handle_control(self.now, path(from), datagram, &mut out);
        match handled {
            Ok(Handled::Reply(length)) => answer(&out[..length]),
            Ok(Handled::Elsewhere(shard)) => Answer::Elsewhere(shard),
            Err(reason) => Answer::Nothing(reason),
        }
    }

    pub(crate) fn reg1(&mut self, from: SocketAddr, half: u8) -> Answer {
        self.send(from, &packet::reg1(&[half; ID_LEN]))
    }

    pub(crate) fn reg2(&mut self, from: SocketAddr, id: &[u8; ID_LEN]) -> Answer {
        self.send(from, &packet::reg2(id))
    }

    pub(crate) fn id(&mut self, from: SocketAddr, half: u8) -> [u8; ID_LEN] {
        match self.reg1(from, half) {
            Answer::Id(id) => *id,
            other => panic!("no id: {other:?}"),
        }
    }

    /// Registers a whole group; its id admits more links.
    pub(crate) fn register(&mut self, half: u8, peers: &[SocketAddr]) -> (GroupKey, [u8; ID_LEN]) {
        let id = self.id(peers[0], half);
        for peer in peers {
            assert_eq!(self.reg2(*peer, &id), Answer::Registered);
        }
        let link = self.registry.find(peers[0]).unwrap();
        (link.group, id)
    }

    pub(crate) fn keepalive(&mut self, from: SocketAddr) -> Answer {
        self.send(from, &packet::keepalive_at(1))
    }

    pub(crate) fn srt(&mut self, from: SocketAddr) -> bool {
        self.registry
            .handle_srt(self.now, path(from), 100)
            .is_some()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.registry.poll_event()).collect()
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> u64 {
        self.registry.counters().refused[refusal.index()]
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.registry.counters().dropped[reason.index()]
    }
}

fn answer(bytes: &[u8]) -> Answer {
    match Packet::parse(bytes).unwrap() {
        Packet::Reg2(id) => Answer::Id(Box::new(*id)),
        Packet::Reg3 => Answer::Registered,
        Packet::RegErr => Answer::Refused,
        Packet::RegNgp => Answer::NoGroup,
        Packet::KeepAlive(keepalive) => Answer::Echo(keepalive.bytes().to_vec()),
        other => panic!("no reply: {other:?}"),
    }
}

pub(crate) fn path(peer: SocketAddr) -> Path {
    Path {
        peer,
        local_ip: None,
        socket: 0,
    }
}

/// A phone's modem: its number is in the address.
pub(crate) fn modem(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([198, 51, high, low], 40_000))
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
