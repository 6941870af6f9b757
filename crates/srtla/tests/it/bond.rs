//! A whole bonded path in virtual time: an SRT publisher, an SRTLA sender, impaired links, and a
//! node with a registry and an SRT receiver.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use streamhaul_srtla::Config;
use testkit::linksim::{Bottleneck, Impairment, Link};
use testkit::srtla_sender::{KeepAlives, Sender};

use crate::bond_node::BondNode;
use crate::publisher::Publisher;

/// A bonded path.
pub(crate) struct Bond {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) sender: Sender,
    pub(crate) node: BondNode,
    pub(crate) publisher: Publisher,
    ups: Vec<Link<Vec<u8>>>,
    downs: Vec<Link<Vec<u8>>>,
    /// Where the node sees each link.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// A modem that carries 3 Mbit/s; half of its delay in each direction.
pub(crate) fn modem(round_trip: Duration, jitter: Duration) -> Impairment {
    Impairment {
        delay: round_trip / 2,
        jitter,
        bottleneck: Some(Bottleneck {
            rate_bps: 3_000_000,
            queue_bytes_max: 64_000,
        }),
        ..Impairment::default()
    }
}

impl Bond {
    pub(crate) fn new(links: &[Impairment], keepalives: KeepAlives, seed: u64) -> Self {
        let now = Instant::now();
        let link = |(seed, impairment): (u64, &Impairment)| Link::new(seed, impairment.clone());
        Self {
            start: now,
            now,
            sender: Sender::new([seed as u8; 256], links.len(), keepalives, now),
            node: BondNode::new(Config::default(), now),
            publisher: Publisher::new(now),
            ups: (seed..).zip(links).map(link).collect(),
            downs: (seed + 100..).zip(links).map(link).collect(),
            addresses: (0..links.len() as u16).map(crate::node::modem).collect(),
        }
    }

    /// Lets the modems register before the encoder begins.
    pub(crate) fn registered(links: &[Impairment], keepalives: KeepAlives, seed: u64) -> Self {
        let mut bond = Self::new(links, keepalives, seed);
        bond.publisher.pause();
        bond.run(Duration::from_secs(3));
        assert_eq!(bond.node.registry.links(), links.len());
        bond.publisher.resume(bond.now);
        bond
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let next = self.next_event().max(self.now);
            if next > end {
                break;
            }
            self.now = next;
        }
        self.now = end;
    }

    fn next_event(&self) -> Instant {
        let links = self.ups.iter().chain(&self.downs);
        links
            .filter_map(Link::poll_timeout)
            .chain(self.node.poll_timeout())
            .chain(self.publisher.poll_timeout())
            .chain([self.sender.poll_timeout()])
            .min()
            .expect("the sender always has a timer")
    }

    /// Does all that is due now.
    fn settle(&mut self) {
        let now = self.now;
        while let Some(packet) = self.publisher.poll(now) {
            self.sender.handle_local(now, &packet);
        }
        self.sender.handle_timeout(now);
        for index in 0..self.ups.len() {
            while let Some(packet) = self.ups[index].poll(now) {
                self.node.handle(now, self.addresses[index], &packet);
            }
            while let Some(packet) = self.downs[index].poll(now) {
                self.sender.handle_remote(now, index, &packet);
            }
        }
        self.node.handle_timeout(now);
        self.exchange();
    }

    fn exchange(&mut self) {
        let now = self.now;
        while let Some(transmit) = self.sender.poll_transmit() {
            self.ups[transmit.link].send(now, transmit.bytes.len(), transmit.bytes);
        }
        while let Some((to, packet)) = self.node.poll_transmit() {
            // What is sent to an address that a NAT has forgotten is lost.
            if let Some(index) = self.addresses.iter().position(|address| *address == to) {
                self.downs[index].send(now, packet.len(), packet);
            }
        }
        while let Some(packet) = self.sender.poll_local() {
            self.publisher.handle(&packet);
        }
        while let Some(answer) = self.publisher.poll_answer() {
            self.sender.handle_local(now, &answer);
        }
        while let Some(transmit) = self.sender.poll_transmit() {
            self.ups[transmit.link].send(now, transmit.bytes.len(), transmit.bytes);
        }
    }

    /// Nothing passes on this link from now on, for so long.
    pub(crate) fn black_out(&mut self, link: usize, time: Duration) {
        let begin = self.now - self.start;
        for direction in [&mut self.ups[link], &mut self.downs[link]] {
            let mut impairment = direction.impairment().clone();
            impairment.blackouts.push(begin..begin + time);
            direction.set_impairment(impairment);
        }
    }

    /// Packets that each link truly lost on the way to the node.
    pub(crate) fn truly_lost(&self) -> Vec<u64> {
        let tallies = self.ups.iter().map(Link::tally);
        tallies.map(|tally| tally.lost + tally.overflowed).collect()
    }

    /// The NAT gives a link another port.
    pub(crate) fn rebind(&mut self, link: usize) {
        let address = &mut self.addresses[link];
        address.set_port(address.port() + 1);
    }
}
