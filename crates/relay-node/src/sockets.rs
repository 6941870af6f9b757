//! One UDP socket: bound dual-stack, batched both ways, and it answers from the
//! address it was called at.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

/// What each direction asks the kernel to buffer.
const BUFFER_BYTES: usize = 4 << 20;

/// A bound, non-blocking socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    buffers: Buffers,
}

/// What the kernel granted; it caps by `net.core.[rw]mem_max` without a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers {
    /// For datagrams not received yet.
    pub(crate) receive_bytes: usize,
    /// For datagrams not sent yet.
    pub(crate) send_bytes: usize,
}

/// One datagram, or several of equal size but the last, to one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// Where to.
    pub(crate) to: SocketAddr,
    /// Where from, when the kernel should not choose.
    pub(crate) local_ip: Option<IpAddr>,
    /// The payloads, end to end.
    pub(crate) contents: &'a [u8],
    /// The size of each, when there are several.
    pub(crate) segment_size: Option<usize>,
}

impl Socket {
    /// Binds. `[::]` takes IPv4 too; where there is no IPv6 it becomes `0.0.0.0`.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        match Self::bind_exactly(address) {
            Err(error) if lacks_ipv6(&error) && address.ip() == Ipv6Addr::UNSPECIFIED => {
                tracing::warn!("this machine has no IPv6; binding IPv4 only");
                Self::bind_exactly((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            result => result,
        }
    }

    fn bind_exactly(address: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            raw.set_only_v6(false)?;
        }
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
        self.state.max_gso_segments()
    }

    /// Receives into each buffer at most one train of datagrams from one peer.
    pub(crate) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.io).into(), buffers, metas)
    }

    /// Sends one train of datagrams.
    pub(crate) fn send(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: self.on_wire(outgoing.to),
            ecn: None,
            contents: outgoing.contents,
            segment_size: outgoing.segment_size,
            src_ip: outgoing.local_ip.map(|ip| self.ip_on_wire(ip)),
        };
        self.state.try_send((&self.io).into(), &transmit)
    }

    /// An IPv6 socket speaks of IPv4 peers in mapped form.
    fn on_wire(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip_on_wire(address.ip()), address.port())
    }

    fn ip_on_wire(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.local.is_ipv6() => v4.to_ipv6_mapped().into(),
            other => other,
        }
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

fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT and EADDRNOTAVAIL on Linux.
    matches!(error.raw_os_error(), Some(97 | 99))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: usize = 1316;

    fn receive_all(socket: &Socket, count: usize) -> Vec<(RecvMeta, Vec<u8>)> {
        let mut datagrams = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while datagrams.len() < count {
            let mut metas = [RecvMeta::default()];
            match socket.receive(&mut [IoSliceMut::new(&mut buffer)], &mut metas) {
                Ok(_) => {
                    let bytes = &buffer[..metas[0].len];
                    datagrams.extend(
                        bytes
                            .chunks(metas[0].stride)
                            .map(|d| (metas[0], d.to_vec())),
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
        datagrams
    }

    fn round_trip(listen: &str, call: &str) {
        let node = Socket::bind(listen.parse().unwrap()).unwrap();
        let caller = UdpSocket::bind((call.parse::<IpAddr>().unwrap(), 0)).unwrap();
        caller
            .connect((call.parse::<IpAddr>().unwrap(), node.local_addr().port()))
            .unwrap();
        caller.send(b"hello").unwrap();

        let (meta, datagram) = receive_all(&node, 1).remove(0);
        assert_eq!(datagram, b"hello");
        assert_eq!(canonical(meta.addr), caller.local_addr().unwrap());
        let local_ip = meta.dst_ip.map(|ip| ip.to_canonical());
        assert_eq!(local_ip, Some(call.parse().unwrap()));

        let contents: Vec<u8> = (0..SEGMENT * 3 + 100).map(|n| n as u8).collect();
        let trains = if node.segments_max() > 1 {
            vec![&contents[..]]
        } else {
            contents.chunks(SEGMENT).collect()
        };
        for train in trains {
            let to = canonical(meta.addr);
            node.send(&Outgoing {
                to,
                local_ip,
                contents: train,
                segment_size: Some(SEGMENT),
            })
            .unwrap();
        }
        // The caller is connected: it takes answers from the address it called only.
        let mut buffer = [0; 2000];
        for segment in contents.chunks(SEGMENT) {
            let length = caller.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], segment);
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

    #[test]
    fn a_train_is_received_as_the_datagrams_it_was_sent_as() {
        let (one, other) = (
            Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap(),
            Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap(),
        );
        let contents: Vec<u8> = (0..SEGMENT * 20 + 392).map(|n| (n / 7) as u8).collect();
        let trains = if one.segments_max() > 1 {
            vec![&contents[..]]
        } else {
            contents.chunks(SEGMENT).collect()
        };
        for train in trains {
            one.send(&Outgoing {
                to: other.local_addr(),
                local_ip: None,
                contents: train,
                segment_size: Some(SEGMENT),
            })
            .unwrap();
        }
        let received = receive_all(&other, 21);
        let expected: Vec<_> = contents.chunks(SEGMENT).collect();
        assert_eq!(
            received.iter().map(|(_, d)| &d[..]).collect::<Vec<_>>(),
            expected
        );
    }
}
