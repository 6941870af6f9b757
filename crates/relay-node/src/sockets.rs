//! One UDP socket: bound dual-stack, batched both ways, and it answers from the
//! address it was called at.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::steering;

/// What each direction asks the kernel to buffer.
const BUFFER_BYTES: usize = 4 << 20;

/// A bound, non-blocking socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Buffers,
    /// Whether the way out does not do what the kernel promised (`UDP_SEGMENT`).
    is_offload_broken: Cell<bool>,
}

/// What the kernel granted; it caps by `net.core.[rw]mem_max` without a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers {
    /// For datagrams not received yet.
    pub(crate) receive_bytes: usize,
    /// For datagrams not sent yet.
    pub(crate) send_bytes: usize,
}

impl Socket {
    /// Binds one socket. `[::]` takes IPv4 too; where there is no IPv6 it becomes
    /// `0.0.0.0`.
    #[cfg(test)]
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut group = Self::bind_group(address, 1)?;
        Ok(group.pop().expect("a group of one"))
    }

    /// Binds `count` sockets to one address, for a thread each.
    pub(crate) fn bind_group(address: SocketAddr, count: u16) -> io::Result<Vec<Self>> {
        match Self::bind_group_exactly(address, count) {
            Err(error) if lacks_ipv6(&error) && address.ip() == Ipv6Addr::UNSPECIFIED => {
                tracing::warn!("this machine has no IPv6; binding IPv4 only");
                Self::bind_group_exactly((Ipv4Addr::UNSPECIFIED, address.port()).into(), count)
            }
            result => result,
        }
    }

    /// The group's port is asked for alone first: with `SO_REUSEPORT` at once, a
    /// second node on the same port would take half of the first one's datagrams.
    fn bind_group_exactly(mut address: SocketAddr, count: u16) -> io::Result<Vec<Self>> {
        if count == 1 {
            return Ok(vec![Self::bind_exactly(address, false)?]);
        }
        address = Self::bind_exactly(address, false)?.local_addr();
        let bind = |_| Self::bind_exactly(address, true);
        let group = (0..count).map(bind).collect::<io::Result<Vec<_>>>()?;
        if let Err(error) = steering::attach(group[0].as_fd(), count) {
            tracing::warn!(%error, "the kernel does not steer datagrams; the threads hand them over");
        }
        Ok(group)
    }

    fn bind_exactly(address: SocketAddr, is_shared: bool) -> io::Result<Self> {
        let raw = RawSocket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            raw.set_only_v6(false)?;
        }
        raw.set_reuse_port(is_shared)?;
        let buffers = Buffers::ask(&raw)?;
        raw.bind(&address.into())?;
        let io = UdpSocket::from(raw);
        let state = UdpSocketState::new((&io).into())?;
        let local = io.local_addr()?;
        Ok(Self {
            io,
            state,
            local,
            buffers,
            is_offload_broken: Cell::new(false),
        })
    }

    /// The address it is bound to.
    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    pub(crate) const fn buffers(&self) -> Buffers {
        self.buffers
    }

    /// How many datagrams one send may join; 1 without the offload.
    pub(crate) fn segments_max(&self) -> usize {
        if self.is_offload_broken.get() {
            1
        } else {
            self.state.max_gso_segments()
        }
    }

    /// Joins no datagrams any more.
    pub(crate) fn give_up_offload(&self) {
        if !self.is_offload_broken.replace(true) {
            tracing::warn!("the network device refuses joined datagrams; sending them singly");
        }
    }

    /// Datagrams that came and found the receive buffer full, since the bind.
    pub(crate) fn kernel_drops(&self) -> u64 {
        steering::drops(self.as_fd()).map_or(0, u64::from)
    }

    /// Receives into each buffer at most one train of datagrams from one peer.
    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.io).into(), buffers, metas)
    }

    /// An IPv6 socket speaks of IPv4 peers in mapped form.
    pub(crate) fn on_wire(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip_on_wire(address.ip()), address.port())
    }

    /// The same for an address of ours.
    pub(crate) fn ip_on_wire(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.local.is_ipv6() => v4.to_ipv6_mapped().into(),
            other => other,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}

impl Buffers {
    fn ask(socket: &RawSocket) -> io::Result<Self> {
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.set_send_buffer_size(BUFFER_BYTES)?;
        Ok(Self {
            receive_bytes: socket.recv_buffer_size()?,
            send_bytes: socket.send_buffer_size()?,
        })
    }

    /// Whether the kernel gave less than was asked for.
    pub(crate) const fn is_short(self) -> bool {
        self.receive_bytes < BUFFER_BYTES || self.send_bytes < BUFFER_BYTES
    }
}

/// One name per peer: IPv4 in its own form, whichever socket it came by.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

pub(crate) fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL on Linux.
    matches!(error.raw_os_error(), Some(97 | 99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_train_is_received_as_the_datagrams_it_was_sent_as() {
        let node = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let contents: Vec<u8> = (0..1316 * 20 + 392).map(|n| (n / 7) as u8).collect();
        let expected: Vec<_> = contents.chunks(1316).collect();
        let state = UdpSocketState::new((&peer).into()).unwrap();
        let joined = state.max_gso_segments() > 1;
        let trains = if joined {
            vec![&contents[..]]
        } else {
            expected.clone()
        };
        for train in trains {
            let transmit = quinn_udp::Transmit {
                destination: node.local_addr(),
                ecn: None,
                contents: train,
                segment_size: joined.then_some(1316),
                src_ip: None,
            };
            state.try_send((&peer).into(), &transmit).unwrap();
        }
        let mut received: Vec<Vec<u8>> = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while received.len() < expected.len() {
            let mut metas = [RecvMeta::default()];
            match node.receive(&mut [IoSliceMut::new(&mut buffer)], &mut metas) {
                Ok(_) => {
                    let datagrams = buffer[..metas[0].len].chunks(metas[0].stride);
                    received.extend(datagrams.map(<[u8]>::to_vec));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(received, expected);
    }
}
