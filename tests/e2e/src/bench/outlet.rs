//! How a publisher's datagrams leave: over one socket, or over the links of an
//! SRTLA sender.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::random::Random;
use testkit::srtla_sender::{KeepAlives, Sender};

use super::batch;
use super::socket::Socket;

/// Links of a bonded publisher.
pub(super) const LINKS: usize = 3;
/// How long they may take to register: a relay may still be starting, and senders
/// ask again each second.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_micros(500);
const DATAGRAM_BYTES_MAX: usize = 2048;
/// The length of a group's id.
const ID_LEN: usize = 256;

/// One socket, or several with a sender in front of them.
pub(super) enum Outlet {
    /// To a relay that is spoken to in SRT, or in nothing.
    Plain(Socket),
    /// To one that takes SRTLA.
    Bonded(Box<Bond>),
}

/// An SRTLA sender and its links' sockets; what it costs is the generator's.
pub(super) struct Bond {
    sender: Sender,
    links: Vec<Socket>,
}

impl Outlet {
    /// The sockets, in order.
    pub(super) fn sockets(&self) -> &[Socket] {
        match self {
            Self::Plain(socket) => std::slice::from_ref(socket),
            Self::Bonded(bond) => &bond.links,
        }
    }

    /// Sends one datagram of the SRT caller.
    pub(super) fn send(&mut self, now: Instant, datagram: &[u8]) -> bool {
        match self {
            Self::Plain(socket) => socket.send(datagram),
            Self::Bonded(bond) => bond.send(now, datagram),
        }
    }

    /// Sends datagrams of one size back to back: in one call where they go one way.
    pub(super) fn send_train(&mut self, now: Instant, train: &[u8], segment_size: u16) -> bool {
        match self {
            Self::Plain(socket) => socket.send_train(train, segment_size),
            Self::Bonded(bond) => {
                let mut datagrams = train.chunks(usize::from(segment_size));
                datagrams.all(|datagram| bond.send(now, datagram))
            }
        }
    }

    /// Takes a datagram that came to a link's socket; gives what is the caller's.
    pub(super) fn receive(&mut self, now: Instant, link: usize, datagram: &[u8]) {
        if let Self::Bonded(bond) = self {
            bond.sender.handle_remote(now, link, datagram);
            bond.flush();
        }
    }

    /// The next datagram for the SRT caller of a bonded publisher.
    pub(super) fn poll_local(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(_) => None,
            Self::Bonded(bond) => bond.sender.poll_local(),
        }
    }

    /// Looks after the links.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Self::Bonded(bond) = self {
            bond.sender.handle_timeout(now);
            bond.flush();
        }
    }
}

impl Bond {
    /// Registers links at `receiver`; `number` tells senders of a run apart.
    ///
    /// # Errors
    /// When a socket cannot be had, or a link is not registered for long.
    pub(super) fn register(receiver: SocketAddr, number: u32) -> anyhow::Result<Self> {
        let receiver = batch::ipv4(receiver)?;
        let mut id = [0; ID_LEN];
        Random::new(u64::from(number) << 32 | u64::from(std::process::id())).fill(&mut id);
        let started = Instant::now();
        let links = (0..LINKS).map(|_| {
            let socket = Socket::bind()?;
            socket.connect(receiver)?;
            Ok(socket)
        });
        let mut bond = Self {
            sender: Sender::new(id, LINKS, KeepAlives::Timed, started),
            links: links.collect::<std::io::Result<_>>()?,
        };
        while !bond.is_registered() {
            ensure!(
                started.elapsed() < REGISTRATION_LIMIT,
                "links do not register at {receiver}: {:?}",
                bond.sender.links(Instant::now())
            );
            bond.step();
            std::thread::sleep(STEP);
        }
        Ok(bond)
    }

    fn is_registered(&self) -> bool {
        let links = self.sender.links(Instant::now());
        links.iter().all(|link| link.is_live)
    }

    fn step(&mut self) {
        let now = Instant::now();
        self.sender.handle_timeout(now);
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for (link, socket) in self.links.iter().enumerate() {
            while let Ok(length) = socket.io().recv(&mut buffer) {
                self.sender.handle_remote(now, link, &buffer[..length]);
            }
        }
        self.flush();
    }

    /// A link's socket, for the handshake of the SRT caller.
    pub(super) fn link(&self) -> &Socket {
        &self.links[0]
    }

    fn send(&mut self, now: Instant, datagram: &[u8]) -> bool {
        self.sender.handle_local(now, datagram);
        self.flush()
    }

    /// Whether the kernel took everything.
    fn flush(&mut self) -> bool {
        let mut is_sent = true;
        while let Some(transmit) = self.sender.poll_transmit() {
            is_sent &= self.links[transmit.link].send(&transmit.bytes);
        }
        is_sent
    }
}
