//! A connected UDP socket that never blocks, and a wait for it.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Add;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

/// Room for a burst while the owner is busy; the system may give less.
const BUFFER_BYTES: usize = 4 << 20;

/// UDP payload bytes that went through a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that the system took to send.
    pub sent_bytes: u64,
    /// Bytes that arrived.
    pub received_bytes: u64,
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes + other.sent_bytes,
            received_bytes: self.received_bytes + other.received_bytes,
        }
    }
}

#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    traffic: Cell<Traffic>,
}

impl Socket {
    pub(super) fn connect(to: SocketAddr) -> io::Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        Self::adopt(socket)
    }

    /// Takes over a socket that is connected.
    pub(super) fn adopt(socket: UdpSocket) -> io::Result<Self> {
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            io: socket,
            traffic: Cell::default(),
        })
    }

    pub(super) fn into_inner(self) -> UdpSocket {
        self.io
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    pub(super) const fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn count(&self, sent: usize, received: usize) {
        let more = Traffic {
            sent_bytes: sent as u64,
            received_bytes: received as u64,
        };
        self.traffic.set(self.traffic.get() + more);
    }

    /// What has arrived, if anything.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.io.recv(buffer) {
            Ok(length) => {
                self.count(0, length);
                Ok(Some(length))
            }
            Err(error) if is_passing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self.io.send(bytes) {
            Ok(length) => {
                self.count(length, 0);
                Ok(())
            }
            // A full send buffer is a loss like any other.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until something arrives or `timeout` is over, rounded up to milliseconds.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let milliseconds = timeout.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(self.io.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The peer's port may be closed for now: the peer restarts, and SRT goes on.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionRefused
    )
}
