//! A simulated SRTLA sender between a publisher and the relay.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use testkit::linksim::{Bottleneck, Impairment, Link};
use testkit::srtla_sender::{KeepAlives, Sender};

#[derive(Debug)]
pub(crate) struct Bond {
    pub(crate) sender: Sender,
    pub(crate) links: Vec<BondLink>,
}

#[derive(Debug)]
pub(crate) struct BondLink {
    /// Where the relay sees it.
    pub(crate) addr: SocketAddr,
    pub(crate) up: Link<Vec<u8>>,
    pub(crate) down: Link<Vec<u8>>,
    impairment: Impairment,
    began_at: Instant,
}

/// Where link `link` of the bond of `host` comes from.
pub(crate) fn link_addr(host: u8, link: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, host, link as u8], 30_000))
}

/// A modem that carries 3 Mbit/s; half of its delay in each direction.
pub(crate) fn modem(round_trip_ms: u64, jitter_ms: u64) -> Impairment {
    Impairment {
        delay: Duration::from_millis(round_trip_ms / 2),
        jitter: Duration::from_millis(jitter_ms),
        bottleneck: Some(Bottleneck {
            rate_bps: 3_000_000,
            queue_bytes_max: 64_000,
        }),
        ..Impairment::default()
    }
}

impl Bond {
    pub(crate) fn new(
        host: u8,
        half: u8,
        links: &[Impairment],
        keepalives: KeepAlives,
        seed: u64,
        now: Instant,
    ) -> Self {
        let link = |(place, impairment): (usize, &Impairment)| BondLink {
            addr: link_addr(host, place),
            up: Link::new(seed + 1000 + place as u64, impairment.clone()),
            down: Link::new(seed + 2000 + place as u64, impairment.clone()),
            impairment: impairment.clone(),
            began_at: now,
        };
        Self {
            sender: Sender::new([half; 256], links.len(), keepalives, now),
            links: links.iter().enumerate().map(link).collect(),
        }
    }

    pub(crate) fn link_mut(&mut self, addr: SocketAddr) -> Option<&mut BondLink> {
        self.links.iter_mut().find(|link| link.addr == addr)
    }

    /// Takes what came down for the caller.
    pub(crate) fn receive(&mut self, now: Instant) -> Vec<Vec<u8>> {
        for (place, link) in self.links.iter_mut().enumerate() {
            while let Some(datagram) = link.down.poll(now) {
                self.sender.handle_remote(now, place, &datagram);
            }
        }
        std::iter::from_fn(|| self.sender.poll_local()).collect()
    }

    /// Sends the caller's datagrams, and its own.
    pub(crate) fn send(&mut self, now: Instant, outbox: Vec<Vec<u8>>) {
        for datagram in outbox {
            self.sender.handle_local(now, &datagram);
        }
        self.sender.handle_timeout(now);
        while let Some(transmit) = self.sender.poll_transmit() {
            let up = &mut self.links[transmit.link].up;
            up.send(now, transmit.bytes.len(), transmit.bytes);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let paths = self.links.iter().flat_map(|link| [&link.up, &link.down]);
        let paths = paths.filter_map(Link::poll_timeout);
        paths.chain([self.sender.poll_timeout()]).min()
    }

    /// Loses everything on a link, `from` now on.
    pub(crate) fn black_out(&mut self, now: Instant, link: usize, span: Range<Duration>) {
        let link = &mut self.links[link];
        let age = now - link.began_at;
        link.impairment
            .blackouts
            .push(age + span.start..age + span.end);
        link.up.set_impairment(link.impairment.clone());
        link.down.set_impairment(link.impairment.clone());
    }

    /// Lets a link come from another address from now on; the sender does not know.
    pub(crate) fn rebind(&mut self, link: usize, addr: SocketAddr) {
        self.links[link].addr = addr;
    }
}
