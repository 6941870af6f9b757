//! A caller's UDP socket: its own port, as every phone and player has, and no
//! receive offload, as they have none.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};

use super::batch;

/// What each direction asks the kernel to buffer.
const BUFFER_BYTES: usize = 4 << 20;

/// A socket that never blocks and says when datagrams arrived.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    address: SocketAddrV4,
}

impl Socket {
    /// Binds a free port on loopback.
    pub(super) fn bind() -> io::Result<Self> {
        Self::adopt(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)
    }

    /// Takes over a socket that somebody else bound.
    pub(super) fn adopt(io: UdpSocket) -> io::Result<Self> {
        setsockopt(&io, sockopt::RcvBuf, &BUFFER_BYTES)?;
        setsockopt(&io, sockopt::SndBuf, &BUFFER_BYTES)?;
        setsockopt(&io, sockopt::ReceiveTimestampns, &true)?;
        io.set_nonblocking(true)?;
        let address = batch::ipv4(io.local_addr()?)?;
        Ok(Self { io, address })
    }

    /// Sends to and takes from one address from now on.
    pub(super) fn connect(&self, to: SocketAddrV4) -> io::Result<()> {
        self.io.connect(SocketAddr::V4(to))
    }

    pub(super) const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    pub(super) const fn io(&self) -> &UdpSocket {
        &self.io
    }

    /// Sends one datagram; what the kernel refuses is lost, as on a real path.
    pub(super) fn send(&self, datagram: &[u8]) -> bool {
        self.io.send(datagram).is_ok()
    }

    /// Sends datagrams of one size back to back, in one call.
    pub(super) fn send_train(&self, train: &[u8], segment_size: u16) -> bool {
        if train.len() <= usize::from(segment_size) {
            return self.send(train);
        }
        sendmsg::<()>(
            self.io.as_raw_fd(),
            &[IoSlice::new(train)],
            &[ControlMessage::UdpGsoSegments(&segment_size)],
            MsgFlags::empty(),
            None,
        )
        .is_ok()
    }
}
