//! An impaired path between real programs: a UDP proxy in user space.
//!
//! ```text
//! client A ─▶ ┌────────┐ ─up link A─▶   own port for A ─▶ target
//! client B ─▶ │ listen │ ─up link B─▶   own port for B ─▶ target
//!          ◀─ └────────┘ ◀─down link─
//! ```
//!
//! The target sees each client at the client's own address and another port: all
//! of 127.0.0.0/8 is this machine, so one path can stand for several modems, each
//! with [impairments of its own](UdpPath::set_impairment_of). Packets leave within a fraction of a millisecond of their time; one thread serves the
//! path and ends when the [`UdpPath`] is dropped.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::{Impairment, Link, Tally};

/// How many clients one path serves; later ones are ignored.
pub const CLIENTS_MAX: usize = 256;

/// Datagrams read from one socket before the others have their turn.
const READ_MAX: usize = 64;
const DATAGRAM_BYTES_MAX: usize = 65_536;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// How long the thread sleeps when nothing is under way; bounds how late it
/// sees that it should stop.
const IDLE: Duration = Duration::from_millis(20);

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct UdpPath {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Of each client.
    tallies: Mutex<Vec<(IpAddr, Tallies)>>,
    changes: Mutex<Vec<Change>>,
}

/// How packets of clients are treated from now on.
#[derive(Debug)]
struct Change {
    /// Of every client, unless it is said.
    client: Option<IpAddr>,
    up: Impairment,
    down: Impairment,
}

/// What became of the packets of some clients so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Clients towards the target.
    pub up: Tally,
    /// The target towards clients.
    pub down: Tally,
}

impl UdpPath {
    /// Starts a path to `target` on a free port of this machine.
    ///
    /// # Errors
    /// When a socket or the thread cannot be made.
    pub fn start(
        target: SocketAddr,
        up: Impairment,
        down: Impairment,
        seed: u64,
    ) -> io::Result<Self> {
        let listen = UdpSocket::bind(any_port(target))?;
        prepare(&listen)?;
        let address = listen.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut proxy = Proxy {
            listen,
            target,
            up,
            down,
            seed,
            clients: Vec::new(),
            apart: HashMap::new(),
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("udp-path".into())
            .spawn(move || proxy.run())?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Where clients send to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes both directions for every client from now on.
    pub fn set_impairment(&self, up: Impairment, down: Impairment) {
        self.change(None, up, down);
    }

    /// Changes both directions from now on for clients at this address, of whom
    /// there may be none yet.
    pub fn set_impairment_of(&self, client: IpAddr, up: Impairment, down: Impairment) {
        self.change(Some(client), up, down);
    }

    fn change(&self, client: Option<IpAddr>, up: Impairment, down: Impairment) {
        lock(&self.shared.changes).push(Change { client, up, down });
    }

    /// What became of all packets so far; some milliseconds old.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.sum(|_| true)
    }

    /// The same of clients at this address.
    #[must_use]
    pub fn tallies_of(&self, client: IpAddr) -> Tallies {
        self.sum(|ip| ip == client)
    }

    fn sum(&self, is_meant: impl Fn(IpAddr) -> bool) -> Tallies {
        let tallies = lock(&self.shared.tallies);
        let meant = tallies.iter().filter(|(ip, _)| is_meant(*ip));
        meant.fold(Tallies::default(), |sum, (_, tallies)| Tallies {
            up: sum.up.plus(tallies.up),
            down: sum.down.plus(tallies.down),
        })
    }
}

impl Drop for UdpPath {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

struct Proxy {
    listen: UdpSocket,
    target: SocketAddr,
    up: Impairment,
    down: Impairment,
    seed: u64,
    clients: Vec<Client>,
    /// Addresses whose clients are treated differently, and how.
    apart: HashMap<IpAddr, (Impairment, Impairment)>,
    shared: Arc<Shared>,
}

struct Client {
    address: SocketAddr,
    socket: UdpSocket,
    up: Link<Box<[u8]>>,
    down: Link<Box<[u8]>>,
}

impl Proxy {
    fn run(&mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.sleep();
            self.apply_changes();
            self.read_clients(&mut buffer);
            self.read_target(&mut buffer);
            self.deliver();
            self.publish_tallies();
        }
    }

    /// Waits for a datagram or for the next one that is due.
    fn sleep(&self) {
        let now = Instant::now();
        let due = self
            .clients
            .iter()
            .flat_map(|c| [c.up.poll_timeout(), c.down.poll_timeout()])
            .flatten()
            .min();
        let timeout = due.map_or(IDLE, |due| due.saturating_duration_since(now).min(IDLE));
        let sockets = std::iter::once(&self.listen).chain(self.clients.iter().map(|c| &c.socket));
        let mut fds: Vec<PollFd<'_>> = sockets
            .map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN))
            .collect();
        // An interrupted wait is a short wait.
        let _ready = ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None);
    }

    fn apply_changes(&mut self) {
        for change in std::mem::take(&mut *lock(&self.shared.changes)) {
            let is_meant =
                |client: &&mut Client| change.client.is_none_or(|ip| ip == client.address.ip());
            for client in self.clients.iter_mut().filter(is_meant) {
                client.up.set_impairment(change.up.clone());
                client.down.set_impairment(change.down.clone());
            }
            match change.client {
                Some(ip) => drop(self.apart.insert(ip, (change.up, change.down))),
                None => {
                    self.apart.clear();
                    (self.up, self.down) = (change.up, change.down);
                }
            }
        }
    }

    fn read_clients(&mut self, buffer: &mut [u8]) {
        for _ in 0..READ_MAX {
            let Ok((len, from)) = self.listen.recv_from(buffer) else {
                return;
            };
            // What was changed before a datagram was sent holds for it.
            self.apply_changes();
            let Some(index) = self.client(from) else {
                continue;
            };
            self.clients[index]
                .up
                .send(Instant::now(), len, buffer[..len].into());
        }
    }

    fn read_target(&mut self, buffer: &mut [u8]) {
        for client in &mut self.clients {
            for _ in 0..READ_MAX {
                let Ok(len) = client.socket.recv(buffer) else {
                    break;
                };
                client.down.send(Instant::now(), len, buffer[..len].into());
            }
        }
    }

    /// A datagram that the kernel refuses is lost, as on any path.
    fn deliver(&mut self) {
        let now = Instant::now();
        for client in &mut self.clients {
            while let Some(datagram) = client.up.poll(now) {
                let _sent = client.socket.send(&datagram);
            }
            while let Some(datagram) = client.down.poll(now) {
                let _sent = self.listen.send_to(&datagram, client.address);
            }
        }
    }

    fn client(&mut self, address: SocketAddr) -> Option<usize> {
        if let Some(index) = self.clients.iter().position(|c| c.address == address) {
            return Some(index);
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        self.clients.push(self.new_client(address).ok()?);
        Some(self.clients.len() - 1)
    }

    fn new_client(&self, address: SocketAddr) -> io::Result<Client> {
        let socket = UdpSocket::bind((address.ip(), 0))?;
        socket.connect(self.target)?;
        prepare(&socket)?;
        let seed = self.seed.wrapping_add(2 * self.clients.len() as u64);
        let apart = self.apart.get(&address.ip()).cloned();
        let (up, down) = apart.unwrap_or_else(|| (self.up.clone(), self.down.clone()));
        Ok(Client {
            address,
            socket,
            up: Link::new(seed, up),
            down: Link::new(seed.wrapping_add(1), down),
        })
    }

    fn publish_tallies(&self) {
        let tallies_of = |client: &Client| Tallies {
            up: client.up.tally(),
            down: client.down.tally(),
        };
        let mut tallies = lock(&self.shared.tallies);
        tallies.clear();
        tallies.extend(self.clients.iter().map(|c| (c.address.ip(), tallies_of(c))));
    }
}

impl Tally {
    const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            delivered: self.delivered + other.delivered,
            lost: self.lost + other.lost,
            overflowed: self.overflowed + other.overflowed,
            blacked_out: self.blacked_out + other.blacked_out,
        }
    }
}

fn any_port(target: SocketAddr) -> SocketAddr {
    match target {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 0).into(),
    }
}

/// The kernel may grant less than asked, which is not an error.
fn prepare(socket: &UdpSocket) -> io::Result<()> {
    setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)?;
    setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> (SocketAddr, UdpSocket) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    #[test]
    fn clients_keep_ports_of_their_own() {
        let (target, server) = echo();
        let path = UdpPath::start(target, Impairment::default(), Impairment::default(), 1).unwrap();
        let clients: Vec<_> = (0..2).map(|_| echo().1).collect();
        for (byte, client) in (0..).zip(&clients) {
            client.send_to(&[byte], path.address()).unwrap();
        }
        let mut buffer = [0; 8];
        for _ in 0..2 {
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..len], from).unwrap();
        }
        for (byte, client) in (0..).zip(&clients) {
            let (len, _) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], &[byte]);
        }
    }

    #[test]
    fn clients_keep_their_addresses_and_one_can_be_cut_off_by_its_address() {
        let (target, server) = echo();
        let path = UdpPath::start(target, Impairment::default(), Impairment::default(), 1).unwrap();
        let modem = |number: u8| UdpSocket::bind((Ipv4Addr::new(127, 0, number, 1), 0)).unwrap();
        let (first, second) = (modem(1), modem(2));
        let dead = Impairment::default().blacked_out();
        path.set_impairment_of([127, 0, 1, 1].into(), dead.clone(), dead);
        first.send_to(b"first", path.address()).unwrap();
        second.send_to(b"second", path.address()).unwrap();
        let mut buffer = [0; 8];
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"second");
        assert_eq!(from.ip(), second.local_addr().unwrap().ip());
        while path.tallies_of([127, 0, 1, 1].into()).up.blacked_out < 1 {
            std::thread::yield_now();
        }
        assert_eq!(path.tallies().up.delivered, 1);
        path.set_impairment(Impairment::default(), Impairment::default());
        first.send_to(b"again", path.address()).unwrap();
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"again");
        assert_eq!(from.ip(), first.local_addr().unwrap().ip());
    }

    #[test]
    fn a_lost_share_is_tallied() {
        let (target, _server) = echo();
        let path = UdpPath::start(
            target,
            Impairment::default().with_loss(1.0),
            Impairment::default(),
            1,
        )
        .unwrap();
        let client = echo().1;
        for _ in 0..10 {
            client.send_to(b"x", path.address()).unwrap();
        }
        while path.tallies().up.lost < 10 {
            std::thread::yield_now();
        }
        assert_eq!(path.tallies().up.delivered, 0);
    }
}
