//! A flood from addresses that are not the sender's.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, setsockopt,
    socket, sockopt,
};
use testkit::random::Random;

use super::speech::{Speaker, Speech};

/// What one flood sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// What the kernel took.
    pub datagrams: u64,
    /// From the first to the last.
    pub elapsed: Duration,
}

/// Where a flood seems to come from.
#[derive(Debug)]
pub(super) struct Sources {
    kind: Kind,
    target: SocketAddrV4,
    random: Random,
    speaker: Speaker,
}

#[derive(Debug)]
enum Kind {
    /// Any address of loopback and any port, written into the IP header.
    Spoofed(OwnedFd),
    /// Sockets bound to addresses of loopback: all that is left without the
    /// right to write headers.
    Bound(Vec<UdpSocket>),
}

/// How many sockets stand in for the whole of loopback.
const BOUND: usize = 512;
/// Datagrams between two looks at the clock: few, so that an honest caller finds
/// no pauses to slip through.
const BURST: u64 = 8;
/// What a sleep is late by anyhow.
const SLEEP_MIN: Duration = Duration::from_micros(50);
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
/// Above the ports that Linux gives to callers: no program that listens
/// everywhere gets the answers.
const PORT_MIN: u16 = 61_000;

impl Sources {
    /// Spoofed addresses, or bound sockets where the kernel refuses those.
    ///
    /// # Errors
    /// When neither can be had.
    pub(super) fn open(target: SocketAddrV4, speech: Speech) -> io::Result<Self> {
        let mut random = Random::new(41);
        let kind = match raw_socket() {
            Ok(raw) => Kind::Spoofed(raw),
            Err(Errno::EPERM | Errno::EACCES) => Kind::Bound(bind_all(target, &mut random)?),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            kind,
            target,
            random,
            speaker: Speaker::new(speech),
        })
    }

    /// What they are, for a report.
    pub(super) const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Spoofed(_) => "raw sockets, any address of 127.0.0.0/8",
            Kind::Bound(_) => "512 bound sockets",
        }
    }

    /// Sends `rate_pps` datagrams a second until told to stop.
    ///
    /// # Errors
    /// When a socket fails.
    pub(super) fn flood(&mut self, rate_pps: u64, stop: &AtomicBool) -> io::Result<Sent> {
        let started = Instant::now();
        let (mut tried, mut sent) = (0, Sent::default());
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..BURST {
                sent.datagrams += u64::from(self.send()?);
            }
            tried += BURST;
            let due = started + Duration::from_secs_f64(tried as f64 / rate_pps as f64);
            let early = due.saturating_duration_since(Instant::now());
            if early > SLEEP_MIN {
                std::thread::sleep(early);
            }
        }
        sent.elapsed = started.elapsed();
        Ok(sent)
    }

    /// Sends one; false when the kernel had no room for it.
    fn send(&mut self) -> io::Result<bool> {
        let bits = self.random.bits();
        let datagram = self.speaker.next(&mut self.random);
        match &self.kind {
            Kind::Spoofed(raw) => {
                let packet = ip_packet(somewhere(bits), self.target, datagram);
                let to = SockaddrIn::from(self.target);
                is_sent(sendto(raw.as_raw_fd(), &packet, &to, MsgFlags::empty()))
            }
            Kind::Bound(sockets) => {
                let socket = &sockets[bits as usize % sockets.len()];
                let flags = MsgFlags::MSG_DONTWAIT;
                is_sent(nix::sys::socket::send(socket.as_raw_fd(), datagram, flags))
            }
        }
    }
}

fn is_sent(result: nix::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        // Nobody takes the answers, and a socket may be told so.
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED | Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A socket whose owner writes the IP header.
fn raw_socket() -> nix::Result<OwnedFd> {
    socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )
}

fn bind_all(target: SocketAddrV4, random: &mut Random) -> io::Result<Vec<UdpSocket>> {
    let bind = |_| {
        let socket = UdpSocket::bind((*somewhere(random.bits()).ip(), 0))?;
        setsockopt(&socket, sockopt::RcvBuf, &0)?;
        socket.connect(SocketAddr::V4(target))?;
        Ok(socket)
    };
    (0..BOUND).map(bind).collect()
}

/// An address of loopback, and a port.
fn somewhere(bits: u64) -> SocketAddrV4 {
    let [_, b, c, d, ..] = bits.to_be_bytes();
    let ports = u64::from(u16::MAX - PORT_MIN) + 1;
    let port = PORT_MIN + (bits % ports) as u16;
    SocketAddrV4::new(Ipv4Addr::new(127, b, c, d), port)
}

/// RFC 791 and RFC 768. The kernel writes the header's checksum; UDP's may be
/// left out.
fn ip_packet(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp_length = (UDP_HEADER + payload.len()) as u16;
    let length = IP_HEADER as u16 + udp_length;
    let mut packet = Vec::with_capacity(usize::from(length));
    packet.extend([0x45, 0]);
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_where_it_seems_to_come_from() {
        let from = SocketAddrV4::new(Ipv4Addr::new(127, 1, 2, 3), 61_234);
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000);
        let packet = ip_packet(from, to, b"hello");
        let expected = [
            0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 127, 1, 2, 3, 127, 0, 0, 1, 0xef, 0x32, 0x0f,
            0xa0, 0, 13, 0, 0,
        ];
        assert_eq!(packet[..28], expected);
        assert_eq!(packet[28..], *b"hello");
    }

    #[test]
    fn everybody_is_on_loopback_and_nobody_has_a_listeners_port() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            let address = somewhere(random.bits());
            assert!(address.ip().is_loopback() && address.port() >= PORT_MIN);
        }
    }
}
