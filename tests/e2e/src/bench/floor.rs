//! The floor under every relay: a process that receives data packets and sends
//! them to the right players, and does nothing else.
//!
//! It batches as well as is possible on this kernel: `recvmmsg` into a socket
//! with `UDP_GRO`, `sendmmsg` with `UDP_SEGMENT`, and one wake-up for all that
//! arrives within [`COALESCE`] when much arrives. It looks at nothing but the
//! source port: no handshake, no acknowledgement, no timer.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::socket::{setsockopt, sockopt};

use super::batch::{self, Outgoing, ReceiveBatch, SendBatch, TRAIN_BYTES_MAX, TRAIN_SEGMENTS_MAX};
use super::clock;

/// What each direction asks the kernel to buffer.
const BUFFER_BYTES: usize = 4 << 20;
const RECEIVE_PLACES: usize = 64;
const SEND_PLACES: usize = 64;
/// How long the floor sleeps for more when it pays.
const COALESCE: Duration = Duration::from_micros(200);
/// It pays when a sleep gathers as many calls' worth of datagrams.
const PAYS_AT: usize = 2;

/// Binds the floor's socket.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn bind() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
    setsockopt(&socket, sockopt::SndBuf, &BUFFER_BYTES)?;
    Ok(socket)
}

/// Writes which publisher's port goes to which players, for [`Routes::parse`].
pub(super) fn describe(streams: &[(u16, Vec<u16>)]) -> String {
    let stream = |(publisher, players): &(u16, Vec<u16>)| {
        let players: Vec<String> = players.iter().map(u16::to_string).collect();
        format!("{publisher}={}", players.join(","))
    };
    streams.iter().map(stream).collect::<Vec<_>>().join(" ")
}

/// Where each publisher's datagrams go.
#[derive(Debug)]
struct Routes(Vec<Vec<SocketAddrV4>>);

impl Routes {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut routes = vec![Vec::new(); 1 << 16];
        for stream in text.split_whitespace() {
            let (publisher, players) = stream.split_once('=').context("no = in a route")?;
            let players = players
                .split(',')
                .map(|port| Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.parse()?)));
            routes[usize::from(publisher.parse::<u16>()?)] =
                players.collect::<anyhow::Result<_>>()?;
        }
        Ok(Self(routes))
    }

    fn of(&self, port: u16) -> &[SocketAddrV4] {
        &self.0[usize::from(port)]
    }
}

/// Forwards what arrives at `socket` until the process ends.
///
/// # Errors
/// When the socket fails.
pub(super) fn run(socket: &UdpSocket, routes: &str) -> anyhow::Result<()> {
    let routes = Routes::parse(routes)?;
    batch::enable_gro(socket)?;
    socket.set_nonblocking(true)?;
    clock::sleep_precisely()?;
    let mut received = ReceiveBatch::new(RECEIVE_PLACES, 1 << 16);
    let mut sending = SendBatch::new(SEND_PLACES);
    let mut turn_at = Instant::now();
    loop {
        let datagrams = forward(socket, &routes, &mut received, &mut sending)?;
        if datagrams < PAYS_AT {
            wait(socket)?;
            turn_at = Instant::now();
        } else {
            turn_at = (turn_at + COALESCE).max(Instant::now());
            clock::sleep_until(turn_at);
        }
    }
}

fn wait(socket: &UdpSocket) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut descriptors, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Forwards all that waits; returns how many receives' places it filled.
fn forward(
    socket: &UdpSocket,
    routes: &Routes,
    received: &mut ReceiveBatch,
    sending: &mut SendBatch,
) -> io::Result<usize> {
    let mut all = 0;
    loop {
        let count = received.receive(socket)?;
        all += count;
        send_all(socket, routes, received, count, sending)?;
        if count < received.places() {
            return Ok(all);
        }
    }
}

fn send_all(
    socket: &UdpSocket,
    routes: &Routes,
    received: &ReceiveBatch,
    count: usize,
    sending: &mut SendBatch,
) -> io::Result<()> {
    let datagrams: Vec<_> = (0..count).map(|place| received.received(place)).collect();
    let parts: Vec<IoSlice<'_>> = datagrams
        .iter()
        .map(|datagram| IoSlice::new(datagram.bytes))
        .collect();
    let mut trains = Vec::with_capacity(count);
    let mut first = 0;
    while first < count {
        let end = first + train_length(&datagrams[first..]);
        let segment_size = datagrams[first].segment_size as u16;
        let parts = &parts[first..end];
        for &to in routes.of(datagrams[first].from_port) {
            trains.push(Outgoing {
                to,
                parts,
                segment_size,
            });
        }
        first = end;
    }
    sending.send(socket, &trains)
}

/// How many of `datagrams` fit one train: of one source, and of one size but for
/// the last.
fn train_length(datagrams: &[batch::Received<'_>]) -> usize {
    let first = &datagrams[0];
    let size = first.segment_size.max(1);
    let (mut length, mut bytes, mut is_whole) = (0, 0, true);
    for datagram in datagrams {
        let fits = is_whole
            && datagram.from_port == first.from_port
            && datagram.segment_size == size
            && bytes + datagram.bytes.len() <= TRAIN_BYTES_MAX
            && (bytes + datagram.bytes.len()).div_ceil(size) <= TRAIN_SEGMENTS_MAX;
        if !fits && length > 0 {
            break;
        }
        is_whole = datagram.bytes.len().is_multiple_of(size);
        bytes += datagram.bytes.len();
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received<'a>(bytes: &'a [u8], from_port: u16, segment_size: usize) -> batch::Received<'a> {
        batch::Received {
            bytes,
            from_port,
            segment_size,
            arrived_ns: 0,
        }
    }

    #[test]
    fn a_train_ends_with_its_source_its_size_and_a_short_datagram() {
        let bytes = [0; 4000];
        let whole = received(&bytes[..2000], 1, 1000);
        let single = received(&bytes[..1000], 1, 1000);
        let broken = received(&bytes[..1500], 1, 1000);
        let other = received(&bytes[..1000], 2, 1000);
        let short = received(&bytes[..500], 1, 500);
        assert_eq!(train_length(&[whole, single, other]), 2);
        assert_eq!(train_length(&[broken, single]), 1);
        assert_eq!(train_length(&[single, short]), 1);
        assert_eq!(train_length(&[single; 80]), 64);
    }

    #[test]
    fn routes_are_read_as_they_were_described() {
        let streams = [(4000, vec![1, 2]), (4001, vec![3])];
        let routes = Routes::parse(&describe(&streams)).unwrap();
        let ports = |port| {
            routes
                .of(port)
                .iter()
                .map(SocketAddrV4::port)
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(4000), [1, 2]);
        assert_eq!(ports(4001), [3]);
        assert!(ports(4002).is_empty());
    }
}
