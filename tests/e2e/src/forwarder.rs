//! The floor under every relay: what arrives goes to one place, unread, with
//! the socket calls that the node makes.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};

const TRAIN_BYTES_MAX: usize = 1 << 16;

/// What each direction asks the kernel to buffer, as a node does.
const BUFFER_BYTES: usize = 4 << 20;

/// Binds a socket with a node's buffers.
///
/// # Errors
/// When the address is taken.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
    setsockopt(&socket, sockopt::SndBuf, &BUFFER_BYTES)?;
    Ok(socket)
}

/// Forwards until the process ends.
///
/// # Errors
/// When a socket cannot be made or waited for.
pub fn forward(listen: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let socket = bind(listen)?;
    let state = UdpSocketState::new((&socket).into())?;
    let mut poll = Poll::new()?;
    poll.registry().register(
        &mut SourceFd(&socket.as_raw_fd()),
        Token(0),
        Interest::READABLE,
    )?;
    let mut events = Events::with_capacity(16);
    let mut buffer = vec![0; BATCH_SIZE * TRAIN_BYTES_MAX];
    loop {
        poll.poll(&mut events, None)?;
        drain(&socket, &state, to, &mut buffer)?;
    }
}

fn drain(
    socket: &UdpSocket,
    state: &UdpSocketState,
    to: SocketAddr,
    buffer: &mut [u8],
) -> io::Result<()> {
    loop {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = buffer.chunks_exact_mut(TRAIN_BYTES_MAX);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().expect("a chunk for each of the batch"))
        });
        let count = match state.recv(socket.into(), &mut slices, &mut metas) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for (meta, train) in metas
            .iter()
            .take(count)
            .zip(buffer.chunks_exact(TRAIN_BYTES_MAX))
        {
            let segment_size = (meta.len > meta.stride).then_some(meta.stride);
            let contents = &train[..meta.len];
            state.try_send(
                socket.into(),
                &Transmit {
                    destination: to,
                    ecn: None,
                    contents,
                    segment_size,
                    src_ip: None,
                },
            )?;
        }
    }
}
