//! The sender between real programs: an SRT caller on one side, impaired links on the other.
//!
//! ```text
//!             ┌───────────┐ ─▶ 127.0.1.1 ─▶ linksim path ─▶ ┐
//! SRT caller ─▶ UdpSender │ ─▶ 127.0.2.1 ─▶ linksim path ─▶ ├ receiver
//!             └───────────┘ ─▶ 127.0.3.1 ─▶ linksim path ─▶ ┘
//! ```
//!
//! The receiver sees each link at the address that its [`Uplink`] names. One thread serves them
//! all, and one each path; they end when the [`UdpSender`] is dropped.
//!
//! ```no_run
//! use std::time::Duration;
//! use streamhaul_testkit::linksim::Impairment;
//! use streamhaul_testkit::srtla_sender::udp::UdpSender;
//! use streamhaul_testkit::srtla_sender::{KeepAlives, Uplink};
//!
//! let modem = |delay| Impairment::delayed(Duration::from_millis(delay)).with_rate(3_000_000);
//! let uplinks = Uplink::numbered([modem(20), modem(45), modem(80)]);
//! let node = "127.0.0.1:5000".parse().unwrap();
//! let sender = UdpSender::start(node, uplinks, KeepAlives::Extended, 7)?;
//! println!("ffmpeg … srt://{}?streamid=live_…", sender.address());
//! sender.black_out(1);
//! sender.restore(1);
//! println!("{:?}", sender.links());
//! # std::io::Result::Ok(())
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use srtla::packet::ID_LEN;

use super::{KeepAlives, LinkState, Sender, Uplink};
use crate::linksim::Impairment;
use crate::linksim::udp::{Tallies, UdpPath};
use crate::random::Random;

/// Datagrams read from one socket before the others have their turn.
const READ_MAX: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// How long the thread sleeps when nothing is under way; bounds how late it sees a wish.
const IDLE: Duration = Duration::from_millis(20);

/// A running sender; dropping it stops it, without a word to the receiver.
#[derive(Debug)]
pub struct UdpSender {
    address: SocketAddr,
    uplinks: Mutex<Vec<Uplink>>,
    paths: Vec<UdpPath>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Links that are to get another port.
    rebind: Mutex<Vec<usize>>,
    links: Mutex<Vec<LinkState>>,
    reported_missing: AtomicU64,
}

impl UdpSender {
    /// Starts a sender to `receiver` with these links, which begin to register at once.
    ///
    /// # Errors
    /// When a socket or the thread cannot be made.
    pub fn start(
        receiver: SocketAddr,
        uplinks: Vec<Uplink>,
        keepalives: KeepAlives,
        seed: u64,
    ) -> io::Result<Self> {
        let path = |(seed, uplink): (u64, &Uplink)| {
            UdpPath::start(receiver, uplink.up.clone(), uplink.down.clone(), seed)
        };
        let paths: Vec<_> = (seed..)
            .zip(&uplinks)
            .map(path)
            .collect::<io::Result<_>>()?;
        let local = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        local.set_nonblocking(true)?;
        let address = local.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut driver = Driver {
            sender: sender(uplinks.len(), keepalives, seed),
            local,
            caller: None,
            sockets: (uplinks.iter().zip(&paths))
                .map(|(uplink, path)| LinkSocket::open(uplink.source, path.address()))
                .collect::<io::Result<_>>()?,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("srtla-sender".into())
            .spawn(move || driver.run())?;
        Ok(Self {
            address,
            uplinks: Mutex::new(uplinks),
            paths,
            shared,
            thread: Some(thread),
        })
    }

    /// Where the SRT caller calls.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The links as their sender sees them; some milliseconds old.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        lock(&self.shared.links).clone()
    }

    /// Packets that the receiver reported missing, each once; see [`Sender::reported_missing`].
    #[must_use]
    pub fn reported_missing(&self) -> u64 {
        self.shared.reported_missing.load(Ordering::Relaxed)
    }

    /// The links as they were set up or changed last.
    #[must_use]
    pub fn uplinks(&self) -> Vec<Uplink> {
        lock(&self.uplinks).clone()
    }

    /// Changes a link from now on, and ends its blackout. Panics when there is no such link.
    pub fn set_impairment(&self, link: usize, up: Impairment, down: Impairment) {
        let uplink = &mut lock(&self.uplinks)[link];
        (uplink.up, uplink.down) = (up, down);
        self.paths[link].set_impairment(uplink.up.clone(), uplink.down.clone());
    }

    /// Lets nothing pass over a link until it is [restored](Self::restore). Panics when there is
    /// no such link.
    pub fn black_out(&self, link: usize) {
        let Uplink { up, down, .. } = lock(&self.uplinks)[link].clone();
        self.paths[link].set_impairment(up.blacked_out(), down.blacked_out());
    }

    /// Ends a link's blackout. Panics when there is no such link.
    pub fn restore(&self, link: usize) {
        let Uplink { up, down, .. } = lock(&self.uplinks)[link].clone();
        self.paths[link].set_impairment(up, down);
    }

    /// What became of a link's packets. Panics when there is no such link.
    #[must_use]
    pub fn tallies(&self, link: usize) -> Tallies {
        self.paths[link].tallies()
    }

    /// Lets a link go on from another port, as when a NAT forgets it. The sender does not know.
    pub fn rebind(&self, link: usize) {
        lock(&self.shared.rebind).push(link);
    }
}

impl Drop for UdpSender {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn sender(links: usize, keepalives: KeepAlives, seed: u64) -> Sender {
    let mut id = [0; ID_LEN];
    Random::new(seed).fill(&mut id);
    Sender::new(id, links, keepalives, Instant::now())
}

/// A link's socket: connected from its own address to its path.
struct LinkSocket {
    socket: UdpSocket,
    source: IpAddr,
    to: SocketAddr,
}

impl LinkSocket {
    fn open(source: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((source, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(to)?;
        Ok(Self { socket, source, to })
    }
}

struct Driver {
    sender: Sender,
    local: UdpSocket,
    caller: Option<SocketAddr>,
    sockets: Vec<LinkSocket>,
    shared: Arc<Shared>,
}

impl Driver {
    fn run(&mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.sleep();
            self.rebind();
            self.read_local(&mut buffer);
            self.read_links(&mut buffer);
            self.sender.handle_timeout(Instant::now());
            self.write();
            *lock(&self.shared.links) = self.sender.links(Instant::now());
            let missing = self.sender.reported_missing();
            self.shared
                .reported_missing
                .store(missing, Ordering::Relaxed);
        }
    }

    fn sleep(&self) {
        let due = self.sender.poll_timeout();
        let timeout = due.saturating_duration_since(Instant::now()).min(IDLE);
        let links = self.sockets.iter().map(|link| &link.socket);
        let sockets = std::iter::once(&self.local).chain(links);
        let mut fds: Vec<PollFd<'_>> = sockets
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
            .collect();
        // An interrupted wait is a short wait.
        let _ready = ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None);
    }

    fn rebind(&mut self) {
        for link in lock(&self.shared.rebind).drain(..) {
            let old = &self.sockets[link];
            if let Ok(new) = LinkSocket::open(old.source, old.to) {
                self.sockets[link] = new;
            }
        }
    }

    fn read_local(&mut self, buffer: &mut [u8]) {
        for _ in 0..READ_MAX {
            let Ok((length, from)) = self.local.recv_from(buffer) else {
                return;
            };
            self.caller = Some(from);
            self.sender.handle_local(Instant::now(), &buffer[..length]);
        }
    }

    fn read_links(&mut self, buffer: &mut [u8]) {
        for (index, link) in self.sockets.iter().enumerate() {
            for _ in 0..READ_MAX {
                let Ok(length) = link.socket.recv(buffer) else {
                    break;
                };
                let bytes = &buffer[..length];
                self.sender.handle_remote(Instant::now(), index, bytes);
            }
        }
    }

    /// A datagram that the kernel refuses is lost, as on any path.
    fn write(&mut self) {
        while let Some(transmit) = self.sender.poll_transmit() {
            let _sent = self.sockets[transmit.link].socket.send(&transmit.bytes);
        }
        while let Some(bytes) = self.sender.poll_local() {
            if let Some(caller) = self.caller {
                let _sent = self.local.send_to(&bytes, caller);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use srt::packet::{DataHeader, HEADER_LEN};
    use srt::{Seq, SocketId, Timestamp};
    use srtla::packet::{Class, REPLY_LEN_MAX, classify};
    use srtla::{Config, Handled, Path, Registry};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A receiver that registers links and sends every SRT packet back to its group's reply path.
    struct Receiver {
        socket: UdpSocket,
        registry: Registry,
        sources: BTreeSet<IpAddr>,
    }

    impl Receiver {
        fn new() -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let timeout = Duration::from_millis(20);
            socket.set_read_timeout(Some(timeout)).unwrap();
            let registry = Registry::new(Config::default(), [3; 32], Instant::now());
            Self {
                socket,
                registry,
                sources: BTreeSet::new(),
            }
        }

        /// Takes a datagram; returns the SRT packet that came from a link.
        fn receive(&mut self) -> Option<Vec<u8>> {
            let mut buffer = [0; 2048];
            let (length, peer) = self.socket.recv_from(&mut buffer).ok()?;
            self.sources.insert(peer.ip());
            let (now, bytes) = (Instant::now(), &buffer[..length]);
            let path = Path {
                peer,
                local_ip: None,
                socket: 0,
            };
            if classify(bytes) == Class::Srt {
                self.registry.handle_srt(now, path, length)?;
                self.socket.send_to(bytes, peer).unwrap();
                return Some(bytes.to_vec());
            }
            let mut out = [0; REPLY_LEN_MAX];
            let handled = self.registry.handle_control(now, path, bytes, &mut out);
            if let Ok(Handled::Reply(length)) = handled {
                self.socket.send_to(&out[..length], peer).unwrap();
            }
            None
        }

        fn receive_packet(&mut self) -> Vec<u8> {
            let give_up_at = Instant::now() + PATIENCE;
            loop {
                if let Some(packet) = self.receive() {
                    return packet;
                }
                assert!(Instant::now() < give_up_at, "{:?}", self.registry);
            }
        }

        fn receive_until(&mut self, is_done: impl Fn(&Self) -> bool) {
            let give_up_at = Instant::now() + PATIENCE;
            while !is_done(self) {
                assert!(Instant::now() < give_up_at, "{:?}", self.registry);
                self.receive();
            }
        }
    }

    fn packet(seq: u32) -> Vec<u8> {
        let header = DataHeader::live(Seq::new(seq), 1, Timestamp(0), SocketId(5));
        let mut bytes = header.to_bytes().to_vec();
        bytes.resize(HEADER_LEN + 100, 7);
        bytes
    }

    #[test]
    fn a_caller_reaches_the_receiver_over_the_links_and_back() {
        let mut receiver = Receiver::new();
        let target = receiver.socket.local_addr().unwrap();
        let uplinks = Uplink::numbered([
            Impairment::default(),
            Impairment::default(),
            Impairment::default(),
        ]);
        let sender = UdpSender::start(target, uplinks, KeepAlives::Timed, 5).unwrap();
        receiver.receive_until(|receiver| receiver.registry.links() == 3);
        let give_up_at = Instant::now() + PATIENCE;
        while !sender.links().iter().all(|link| link.is_live) {
            assert!(Instant::now() < give_up_at, "{:?}", sender.links());
            receiver.receive();
        }
        let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
        caller.set_read_timeout(Some(PATIENCE)).unwrap();
        for seq in 0..30 {
            let sent = packet(seq);
            caller.send_to(&sent, sender.address()).unwrap();
            assert_eq!(receiver.receive_packet(), sent);
            let mut buffer = [0; 2048];
            let (length, _) = caller.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], sent);
        }
        let used = |sender: &UdpSender| sender.links().iter().all(|link| link.packets >= 9);
        while !used(&sender) {
            assert!(Instant::now() < give_up_at, "{:?}", sender.links());
            std::thread::yield_now();
        }
        let own = |uplink: &Uplink| uplink.source;
        assert_eq!(receiver.sources, sender.uplinks().iter().map(own).collect());
        sender.rebind(1);
        receiver.receive_until(|receiver| receiver.registry.links() == 4);
    }
}
