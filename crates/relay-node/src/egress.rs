//! The send side of a turn: everything that the relay queued leaves with few
//! system calls, and what a full socket would not take waits, bounded.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd as _;

use relay_core::{Drained, Transmit};

use crate::sendmmsg::{Message, MessageBuffers};
use crate::snapshot::SendStats;
use crate::sockets::Socket;
use crate::trains::{Path, Train, Trains};

/// What waits for full sockets, all together.
const BACKLOG_BYTES_MAX: usize = 1 << 20;

/// Sends what the relay queued.
#[derive(Default)]
pub(crate) struct Egress {
    trains: Trains,
    buffers: MessageBuffers,
    backlog: Backlog,
    stats: SendStats,
}

impl Egress {
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

    /// Sends a turn's datagrams.
    pub(crate) fn send(&mut self, sockets: &[Socket], drained: Drained<'_>) {
        if drained.is_empty() {
            return;
        }
        let segments_max = |socket: u8| {
            let socket = sockets.get(usize::from(socket));
            socket.map_or(1, Socket::segments_max)
        };
        let mut trains = std::mem::take(&mut self.trains);
        trains.join(drained, segments_max);
        let mut rest = trains.all();
        while let Some(first) = rest.first() {
            let socket = first.path.socket;
            let is_other = |train: &Train| train.path.socket != socket;
            let end = rest.iter().position(is_other).unwrap_or(rest.len());
            if let Some(socket) = sockets.get(usize::from(socket)) {
                self.send_run(socket, &trains, &rest[..end], drained);
            }
            rest = &rest[end..];
        }
        self.trains = trains;
    }

    /// Sends trains that leave by one socket.
    fn send_run(
        &mut self,
        socket: &Socket,
        trains: &Trains,
        mut run: &[Train],
        drained: Drained<'_>,
    ) {
        while let Some(first) = run.first() {
            if self.waits_for(first.path.socket) {
                run.iter()
                    .for_each(|train| self.keep(trains, train, drained));
                return;
            }
            let messages = run.iter().map(|train| Message {
                to: socket.on_wire(train.path.to),
                local_ip: train.path.local_ip.map(|ip| socket.ip_on_wire(ip)),
                segment_size: (train.segments > 1).then_some(train.segment_size as u16),
                pieces: pieces(trains, train, drained),
            });
            self.stats.calls += 1;
            match self.buffers.send(socket.as_fd(), messages) {
                Ok(sent) => run = &run[sent.min(run.len())..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.keep(trains, first, drained);
                    run = &run[1..];
                }
                Err(error) => {
                    self.refused(socket, trains, first, drained, &error);
                    run = &run[1..];
                }
            }
        }
    }

    /// A train was refused: where the offload is to blame, its datagrams may
    /// still go one by one.
    fn refused(
        &mut self,
        socket: &Socket,
        trains: &Trains,
        train: &Train,
        drained: Drained<'_>,
        error: &io::Error,
    ) {
        if train.segments == 1 {
            self.stats.failed(error);
            return;
        }
        // EIO: the device cannot do checksums, which joined datagrams need.
        if error.raw_os_error() == Some(libc::EIO) {
            socket.give_up_offload();
        }
        for transmit in trains.datagrams(train, drained) {
            self.send_singly(socket, &transmit);
        }
    }

    fn send_singly(&mut self, socket: &Socket, transmit: &Transmit<'_>) {
        let path = Path::from(transmit);
        let pieces = [transmit.header, transmit.payload].into_iter();
        match self.send_one(socket, path, pieces) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.backlog.push(path, transmit, &mut self.stats);
            }
            Err(error) => self.stats.failed(&error),
        }
    }

    fn send_one<'a>(
        &mut self,
        socket: &Socket,
        path: Path,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        self.stats.calls += 1;
        let message = Message {
            to: socket.on_wire(path.to),
            local_ip: path.local_ip.map(|ip| socket.ip_on_wire(ip)),
            segment_size: None,
            pieces,
        };
        let messages = std::iter::once(message);
        self.buffers.send(socket.as_fd(), messages).map(|_| ())
    }

    fn keep(&mut self, trains: &Trains, train: &Train, drained: Drained<'_>) {
        for transmit in trains.datagrams(train, drained) {
            self.backlog.push(train.path, &transmit, &mut self.stats);
        }
    }

    /// Sends again what `socket` would not take before.
    pub(crate) fn retry(&mut self, sockets: &[Socket], socket: u8) {
        let io = &sockets[usize::from(socket)];
        let mut kept = VecDeque::new();
        let mut is_full = false;
        while let Some(waiting) = self.backlog.pop() {
            if is_full || waiting.path.socket != socket {
                kept.push_back(waiting);
                continue;
            }
            match self.send_one(io, waiting.path, std::iter::once(&*waiting.contents)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_full = true;
                    kept.push_back(waiting);
                }
                Err(error) => self.stats.failed(&error),
            }
        }
        self.backlog.restore(kept);
    }
}

/// A train's bytes: for each datagram its header and its payload.
fn pieces<'a>(
    trains: &'a Trains,
    train: &Train,
    drained: Drained<'a>,
) -> impl Iterator<Item = &'a [u8]> {
    let datagrams = trains.datagrams(train, drained);
    datagrams.flat_map(|transmit| [transmit.header, transmit.payload])
}

/// One datagram that waits for its socket.
struct Waiting {
    path: Path,
    contents: Box<[u8]>,
}

/// What waits for full sockets, oldest first, bounded in bytes.
#[derive(Default)]
struct Backlog {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

impl Backlog {
    fn push(&mut self, path: Path, transmit: &Transmit<'_>, stats: &mut SendStats) {
        if self.bytes + transmit.length() > BACKLOG_BYTES_MAX {
            stats.queue_full += 1;
            return;
        }
        self.bytes += transmit.length();
        self.queue.push_back(Waiting {
            path,
            contents: transmit.to_vec().into(),
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
    use std::io::IoSliceMut;
    use std::net::{IpAddr, SocketAddr, UdpSocket};
    use std::time::Duration;

    use quinn_udp::RecvMeta;
    use relay_core::{Ingress, Transmits};

    use super::*;
    use crate::sockets::canonical;

    fn pair() -> ([Socket; 1], UdpSocket) {
        let node = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        ([node], peer)
    }

    fn path(to: SocketAddr, local_ip: Option<IpAddr>) -> Ingress {
        Ingress {
            peer: to,
            local_ip,
            socket: 0,
        }
    }

    /// A queue of these datagrams, each in two pieces.
    fn queued<'a>(datagrams: impl IntoIterator<Item = (&'a UdpSocket, &'a [u8])>) -> Transmits {
        let mut transmits = Transmits::new(8 << 20);
        for (to, contents) in datagrams {
            let (header, payload) = contents.split_at(contents.len().min(16));
            let to = path(to.local_addr().unwrap(), None);
            assert!(transmits.push(to, header, payload));
        }
        transmits
    }

    fn errors(egress: &Egress) -> u64 {
        let stats = egress.stats();
        stats.too_big + stats.unreachable + stats.denied + stats.other + stats.queue_full
    }

    fn receive(peer: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2000];
        let length = peer.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn datagrams_arrive_in_order_whatever_was_joined() {
        let (sockets, peer) = pair();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sizes = [1332, 1332, 500, 44, 44, 1332, 16, 1400, 1332];
        let contents: Vec<_> = (0u8..).zip(sizes).map(|(n, size)| vec![n; size]).collect();
        let mut all = Vec::new();
        for contents in &contents {
            all.push((&peer, &contents[..]));
            all.push((&other, &contents[..]));
        }
        let mut egress = Egress::default();
        egress.send(&sockets, queued(all).drain());
        for peer in [&peer, &other] {
            for contents in &contents {
                assert_eq!(receive(peer), *contents);
            }
        }
        assert_eq!(errors(&egress), 0);
        assert_eq!(egress.stats().calls, 1, "a turn is one call");
    }

    #[test]
    fn a_train_is_bounded_in_datagrams_and_bytes() {
        let (sockets, peer) = pair();
        let mut egress = Egress::default();
        let contents = vec![7; 1400];
        let all = std::iter::repeat_n((&peer, &contents[..]), 70);
        egress.send(&sockets, queued(all).drain());
        for _ in 0..70 {
            assert_eq!(receive(&peer), contents);
        }
        assert_eq!(errors(&egress), 0);
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_costs_nobody_else_anything() {
        let (sockets, peer) = pair();
        let mut transmits = queued([(&peer, &b"before"[..])]);
        let nowhere = path("127.0.0.1:0".parse().unwrap(), None);
        assert!(transmits.push(nowhere, b"x", b""));
        let to = path(peer.local_addr().unwrap(), None);
        assert!(transmits.push(to, b"behind", b" it"));
        let mut egress = Egress::default();
        egress.send(&sockets, transmits.drain());
        assert_eq!(receive(&peer), b"before");
        assert_eq!(receive(&peer), b"behind it");
        assert_eq!(errors(&egress), 1);
        assert!(!egress.waits_for(0));
    }

    #[test]
    fn the_backlog_keeps_order_and_is_bounded() {
        let (sockets, peer) = pair();
        let mut egress = Egress::default();
        let mut first = queued([(&peer, &b"first"[..])]);
        let transmit = first.drain().transmit(0);
        let way = Path::from(&transmit);
        egress.backlog.push(way, &transmit, &mut egress.stats);
        egress.send(&sockets, queued([(&peer, &b"second"[..])]).drain());
        assert!(egress.waits_for(0));
        egress.retry(&sockets, 0);
        assert!(!egress.waits_for(0));
        assert_eq!(receive(&peer), b"first");
        assert_eq!(receive(&peer), b"second");

        let big = vec![0; BACKLOG_BYTES_MAX];
        let mut big = queued([(&peer, &big[..]), (&peer, &b"x"[..])]);
        for transmit in big.drain().iter() {
            egress.backlog.push(way, &transmit, &mut egress.stats);
        }
        assert_eq!(egress.stats().queue_full, 1);
    }

    /// Answers a caller who takes answers from the address it called only.
    fn round_trip(listen: &str, call: &str) {
        let call: IpAddr = call.parse().unwrap();
        let node = [Socket::bind(listen.parse().unwrap()).unwrap()];
        let caller = UdpSocket::bind((call, 0)).unwrap();
        caller.connect((call, node[0].local_addr().port())).unwrap();
        caller.send(b"hello").unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut metas = [RecvMeta::default()];
        while node[0]
            .receive(&mut [IoSliceMut::new(&mut buffer)], &mut metas)
            .is_err()
        {
            std::thread::yield_now();
        }
        assert_eq!(canonical(metas[0].addr), caller.local_addr().unwrap());
        let local_ip = metas[0].dst_ip.map(|ip| ip.to_canonical());
        assert_eq!(local_ip, Some(call));
        let mut transmits = Transmits::new(1 << 20);
        let way = path(canonical(metas[0].addr), local_ip);
        for number in 0..4 {
            assert!(transmits.push(way, &[number; 16], &[number; 1300]));
        }
        Egress::default().send(&node, transmits.drain());
        for number in 0..4 {
            assert_eq!(receive(&caller), [number; 1316]);
        }
    }

    #[test]
    fn a_dual_stack_socket_answers_ipv4_from_the_address_it_was_called_at() {
        round_trip("[::]:0", "127.0.0.1");
        round_trip("[::]:0", "127.0.0.7");
    }

    #[test]
    fn a_dual_stack_socket_answers_ipv6() {
        round_trip("[::]:0", "::1");
    }

    #[test]
    fn an_ipv4_socket_answers_from_the_address_it_was_called_at() {
        round_trip("0.0.0.0:0", "127.0.0.7");
    }
}
