//! A connected UDP socket that never blocks, and a wait for it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

/// Room for a burst while the owner is busy; the system may give less.
const BUFFER_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Socket(UdpSocket);

impl Socket {
    pub(super) fn connect(to: SocketAddr) -> io::Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.connect(to)?;
        Ok(Self(socket))
    }

    pub(super) fn into_inner(self) -> UdpSocket {
        self.0
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// What has arrived, if anything.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if is_passing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self.0.send(bytes) {
            Ok(_) => Ok(()),
            // A full send buffer is a loss like any other.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until something arrives or `timeout` is over, rounded up to milliseconds.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        let milliseconds = timeout.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
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
