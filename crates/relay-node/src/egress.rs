//! The send side of a turn: joins what goes to one place into trains, and keeps
//! a bounded queue of what a full socket would not take.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use relay_core::Transmit;

use crate::snapshot::SendStats;
use crate::sockets::{Outgoing, Socket};

/// The longest train: UDP's own limit, headers aside.
const TRAIN_BYTES_MAX: usize = 65_000;
/// The kernel's bound on datagrams in a train (`UDP_MAX_SEGMENTS` before 6.9).
const TRAIN_SEGMENTS_MAX: usize = 64;
/// What waits for full sockets, all together.
const BACKLOG_BYTES_MAX: usize = 1 << 20;

/// Where a train goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Path {
    to: SocketAddr,
    local_ip: Option<IpAddr>,
    socket: u8,
}

/// Collects transmits and sends them.
pub(crate) struct Egress {
    train: Train,
    backlog: Backlog,
    stats: SendStats,
}

impl Egress {
    pub(crate) fn new() -> Self {
        Self {
            train: Train::new(),
            backlog: Backlog::default(),
            stats: SendStats::default(),
        }
    }

    pub(crate) const fn stats(&self) -> &SendStats {
        &self.stats
    }

    /// Whether something waits for `socket` to take datagrams again.
    pub(crate) fn waits_for(&self, socket: u8) -> bool {
        self.backlog
            .queue
            .iter()
            .any(|waiting| waiting.path.socket == socket)
    }

    /// Takes one datagram; it leaves with the next that does not fit its train,
    /// or with [`flush`](Self::flush).
    pub(crate) fn push(&mut self, sockets: &[Socket], transmit: &Transmit<'_>) {
        let path = Path {
            to: transmit.to,
            local_ip: transmit.local_ip,
            socket: transmit.socket,
        };
        let segments_max = match sockets.get(usize::from(path.socket)) {
            Some(socket) => socket.segments_max().min(TRAIN_SEGMENTS_MAX),
            None => return,
        };
        if !self.train.fits(path, transmit.length(), segments_max) {
            self.flush(sockets);
        }
        self.train.add(path, transmit);
    }

    /// Sends what was collected.
    pub(crate) fn flush(&mut self, sockets: &[Socket]) {
        let Some(path) = self.train.path else { return };
        let socket = &sockets[usize::from(path.socket)];
        if self.waits_for(path.socket) {
            self.keep(path);
        } else {
            self.send_train(socket, path);
        }
        self.train.clear();
    }

    fn send_train(&mut self, socket: &Socket, path: Path) {
        let outgoing = self.train.outgoing(path);
        self.stats.calls += 1;
        match socket.send(&outgoing) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.keep(path),
            Err(_) if self.train.segments > 1 => self.send_singly(socket, path),
            Err(error) => self.stats.failed(&error),
        }
    }

    /// The offload was refused; the datagrams may still go one by one.
    fn send_singly(&mut self, socket: &Socket, path: Path) {
        for contents in self.train.datagrams() {
            self.stats.calls += 1;
            let outgoing = Outgoing {
                to: path.to,
                local_ip: path.local_ip,
                contents,
                segment_size: None,
            };
            match socket.send(&outgoing) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.backlog.push(path, contents, &mut self.stats);
                }
                Err(error) => self.stats.failed(&error),
            }
        }
    }

    fn keep(&mut self, path: Path) {
        for contents in self.train.datagrams() {
            self.backlog.push(path, contents, &mut self.stats);
        }
    }

    /// Sends again what `socket` would not take before.
    pub(crate) fn retry(&mut self, sockets: &[Socket], socket: u8) {
        let io = &sockets[usize::from(socket)];
        let mut kept = VecDeque::new();
        let mut full = false;
        while let Some(waiting) = self.backlog.pop() {
            if full || waiting.path.socket != socket {
                kept.push_back(waiting);
                continue;
            }
            self.stats.calls += 1;
            match io.send(&waiting.outgoing()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    full = true;
                    kept.push_back(waiting);
                }
                Err(error) => self.stats.failed(&error),
            }
        }
        self.backlog.restore(kept);
    }
}

/// Datagrams to one place, equal in size but for the last.
struct Train {
    path: Option<Path>,
    bytes: Vec<u8>,
    segment_size: usize,
    segments: usize,
    closed: bool,
}

impl Train {
    fn new() -> Self {
        Self {
            path: None,
            bytes: Vec::with_capacity(TRAIN_BYTES_MAX),
            segment_size: 0,
            segments: 0,
            closed: false,
        }
    }

    fn fits(&self, path: Path, length: usize, segments_max: usize) -> bool {
        match self.path {
            None => true,
            Some(current) => {
                current == path
                    && !self.closed
                    && length <= self.segment_size
                    && length > 0
                    && self.segments < segments_max
                    && self.bytes.len() + length <= TRAIN_BYTES_MAX
            }
        }
    }

    fn add(&mut self, path: Path, transmit: &Transmit<'_>) {
        if self.path.is_none() {
            self.path = Some(path);
            self.segment_size = transmit.length();
        }
        self.bytes.extend_from_slice(transmit.header);
        self.bytes.extend_from_slice(transmit.payload);
        self.segments += 1;
        self.closed = transmit.length() < self.segment_size;
    }

    fn outgoing(&self, path: Path) -> Outgoing<'_> {
        Outgoing {
            to: path.to,
            local_ip: path.local_ip,
            contents: &self.bytes,
            segment_size: (self.segments > 1).then_some(self.segment_size),
        }
    }

    fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(self.segment_size.max(1))
    }

    fn clear(&mut self) {
        self.path = None;
        self.bytes.clear();
        self.segments = 0;
        self.closed = false;
    }
}

/// One datagram that waits for its socket.
struct Waiting {
    path: Path,
    contents: Box<[u8]>,
}

impl Waiting {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            to: self.path.to,
            local_ip: self.path.local_ip,
            contents: &self.contents,
            segment_size: None,
        }
    }
}

/// What waits for full sockets, oldest first, bounded in bytes.
#[derive(Default)]
struct Backlog {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

impl Backlog {
    fn push(&mut self, path: Path, contents: &[u8], stats: &mut SendStats) {
        if self.bytes + contents.len() > BACKLOG_BYTES_MAX {
            stats.queue_full += 1;
            return;
        }
        self.bytes += contents.len();
        self.queue.push_back(Waiting {
            path,
            contents: contents.into(),
        });
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.queue.pop_front()?;
        self.bytes -= waiting.contents.len();
        Some(waiting)
    }

    fn restore(&mut self, kept: VecDeque<Waiting>) {
        self.bytes = kept.iter().map(|waiting| waiting.contents.len()).sum();
        self.queue = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> ([Socket; 1], UdpSocket) {
        let node = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        ([node], peer)
    }

    fn push(egress: &mut Egress, sockets: &[Socket], to: &UdpSocket, contents: &[u8]) {
        let to = to.local_addr().unwrap();
        egress.push(
            sockets,
            &Transmit {
                to,
                local_ip: None,
                socket: 0,
                header: contents,
                payload: &[],
            },
        );
    }

    fn errors(egress: &Egress) -> u64 {
        let stats = egress.stats();
        stats.too_big + stats.unreachable + stats.denied + stats.other + stats.queue_full
    }

    #[test]
    fn datagrams_arrive_in_order_whatever_was_joined() {
        let (sockets, peer) = pair();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut egress = Egress::new();
        let sizes = [1332, 1332, 500, 44, 44, 1332, 16, 1400, 1332];
        for (number, size) in sizes.iter().enumerate() {
            push(&mut egress, &sockets, &peer, &vec![number as u8; *size]);
        }
        push(&mut egress, &sockets, &other, b"other");
        egress.flush(&sockets);
        let mut buffer = [0; 2000];
        for (number, size) in sizes.iter().enumerate() {
            let length = peer.recv(&mut buffer).unwrap();
            assert_eq!((length, buffer[0]), (*size, number as u8));
        }
        assert_eq!(other.recv(&mut buffer).unwrap(), 5);
        assert_eq!(errors(&egress), 0);
    }

    #[test]
    fn equal_datagrams_to_one_place_leave_in_one_call() {
        let (sockets, peer) = pair();
        let mut egress = Egress::new();
        for _ in 0..10 {
            push(&mut egress, &sockets, &peer, &[7; 1332]);
        }
        egress.flush(&sockets);
        let expected = if sockets[0].segments_max() > 1 { 1 } else { 10 };
        assert_eq!(egress.stats().calls, expected);
    }

    #[test]
    fn a_train_is_bounded_in_datagrams_and_bytes() {
        let (sockets, peer) = pair();
        let mut egress = Egress::new();
        for _ in 0..200 {
            push(&mut egress, &sockets, &peer, &[7; 1400]);
            assert!(egress.train.segments <= TRAIN_SEGMENTS_MAX);
            assert!(egress.train.bytes.len() <= TRAIN_BYTES_MAX);
        }
        egress.flush(&sockets);
        assert_eq!(errors(&egress), 0);
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_forgotten() {
        let (sockets, _) = pair();
        let mut egress = Egress::new();
        let to = "127.0.0.1:0".parse().unwrap();
        egress.push(
            &sockets,
            &Transmit {
                to,
                local_ip: None,
                socket: 0,
                header: b"x",
                payload: &[],
            },
        );
        egress.flush(&sockets);
        assert_eq!(errors(&egress), 1);
        assert!(!egress.waits_for(0));
    }

    #[test]
    fn the_backlog_keeps_order_and_is_bounded() {
        let (sockets, peer) = pair();
        let mut egress = Egress::new();
        let path = Path {
            to: peer.local_addr().unwrap(),
            local_ip: None,
            socket: 0,
        };
        egress.backlog.push(path, b"first", &mut egress.stats);
        push(&mut egress, &sockets, &peer, b"second");
        egress.flush(&sockets);
        assert!(egress.waits_for(0));
        egress.retry(&sockets, 0);
        assert!(!egress.waits_for(0));
        let mut buffer = [0; 16];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 5);
        assert_eq!(peer.recv(&mut buffer).unwrap(), 6);

        let big = vec![0; BACKLOG_BYTES_MAX];
        egress.backlog.push(path, &big, &mut egress.stats);
        egress.backlog.push(path, b"x", &mut egress.stats);
        assert_eq!(egress.stats().queue_full, 1);
    }
}
