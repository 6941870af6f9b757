//! One `sendmmsg` for a whole turn: many destinations, and to each of them
//! several datagrams of one size in one message (`UDP_SEGMENT`).
//!
//! The messages point to the relay's own buffers; nothing is copied before the
//! kernel does. This is the one place of the node that needs `unsafe`: neither
//! `std` nor a library builds such messages without a copy or an allocation for
//! each.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use socket2::SockAddr;

/// The kernel's bound on messages in one call (`UIO_MAXIOV`).
pub(crate) const MESSAGES_MAX: usize = 1024;
/// Room for a packet-info and a segment-size control message.
const CONTROL_BYTES: usize = 64;

/// One or more datagrams to one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<P> {
    /// Where to, in the socket's own address family.
    pub(crate) to: SocketAddr,
    /// Where from, when the kernel should not choose; in the same family.
    pub(crate) local_ip: Option<IpAddr>,
    /// The size of each datagram but the last, when there are several.
    pub(crate) segment_size: Option<u16>,
    /// The bytes, in pieces.
    pub(crate) pieces: P,
}

/// Room for the messages of a call; used again for the next.
#[derive(Default)]
pub(crate) struct MessageBuffers {
    headers: Vec<libc::mmsghdr>,
    names: Vec<SockAddr>,
    controls: Vec<Control>,
    pieces: Vec<libc::iovec>,
    piece_counts: Vec<usize>,
}

/// A control buffer, aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
struct Control {
    bytes: [u8; CONTROL_BYTES],
    used: usize,
}

// SAFETY: the raw pointers in `headers` and `pieces` are written, used and
// forgotten within one call of `send`; between calls both are empty.
unsafe impl Send for MessageBuffers {}

impl MessageBuffers {
    /// Sends the messages in order and returns how many went: fewer than given
    /// when one in the middle was refused. Sends [`MESSAGES_MAX`] at most.
    ///
    /// # Errors
    /// When the first message was refused, with the reason.
    pub(crate) fn send<'a, P>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = Message<P>>,
    ) -> io::Result<usize>
    where
        P: Iterator<Item = &'a [u8]>,
    {
        for message in messages.take(MESSAGES_MAX) {
            self.add(message);
        }
        self.point();
        // SAFETY: `headers` holds that many messages, whose pointers lead into
        // our own vectors, which nobody touches until the call returns, and to
        // the pieces, which `'a` keeps alive past the end of this function.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        self.clear();
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn add<'a, P>(&mut self, message: Message<P>)
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let before = self.pieces.len();
        let pieces = message.pieces.filter(|piece| !piece.is_empty());
        self.pieces.extend(pieces.map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        }));
        self.piece_counts.push(self.pieces.len() - before);
        self.names.push(message.to.into());
        self.controls
            .push(Control::new(message.local_ip, message.segment_size));
    }

    /// Writes the headers, now that no vector grows any more.
    fn point(&mut self) {
        let mut first_piece = 0;
        for ((name, control), count) in self
            .names
            .iter()
            .zip(&mut self.controls)
            .zip(&self.piece_counts)
        {
            // SAFETY: an all-zero `mmsghdr` is a valid empty message.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            let message = &mut header.msg_hdr;
            message.msg_name = name.as_ptr().cast_mut().cast();
            message.msg_namelen = name.len();
            message.msg_iov = self.pieces[first_piece..].as_mut_ptr();
            message.msg_iovlen = *count as _;
            if control.used > 0 {
                message.msg_control = control.bytes.as_mut_ptr().cast();
                message.msg_controllen = control.used as _;
            }
            self.headers.push(header);
            first_piece += count;
        }
    }

    fn clear(&mut self) {
        self.headers.clear();
        self.names.clear();
        self.controls.clear();
        self.pieces.clear();
        self.piece_counts.clear();
    }
}

impl Control {
    fn new(local_ip: Option<IpAddr>, segment_size: Option<u16>) -> Self {
        let mut control = Self {
            bytes: [0; CONTROL_BYTES],
            used: 0,
        };
        match local_ip {
            Some(IpAddr::V4(ip)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(ip.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            Some(IpAddr::V6(ip)) => {
                let info = libc::in6_pktinfo {
                    ipi6_ifindex: 0,
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                };
                control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
            None => {}
        }
        if let Some(size) = segment_size {
            control.push(libc::SOL_UDP, libc::UDP_SEGMENT, size);
        }
        control
    }

    /// Appends one control message; `T` is what the kernel reads there.
    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        let size = size_of::<T>() as libc::c_uint;
        // SAFETY: these two only compute sizes.
        let (space, length) = unsafe { (libc::CMSG_SPACE(size) as usize, libc::CMSG_LEN(size)) };
        assert!(
            self.used + space <= CONTROL_BYTES,
            "no room for the control message"
        );
        let start = self.bytes[self.used..].as_mut_ptr().cast::<libc::cmsghdr>();
        // SAFETY: `space` bytes from `start` on are ours, and `start` is aligned:
        // the buffer is, and every message before it took a multiple of that.
        unsafe {
            (*start).cmsg_level = level;
            (*start).cmsg_type = kind;
            (*start).cmsg_len = length as _;
            libc::CMSG_DATA(start).cast::<T>().write_unaligned(value);
        }
        self.used += space;
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let bind = || UdpSocket::bind((address, 0)).unwrap();
        (bind(), bind())
    }

    fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2000];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    #[test]
    fn messages_to_several_places_leave_in_one_call() {
        let (sender, one) = pair("127.0.0.1");
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut buffers = MessageBuffers::default();
        for round in 0..3u8 {
            let bodies = [[round; 4], [round + 10; 4]];
            let messages = [&one, &other].into_iter().zip(&bodies);
            let messages = messages.map(|(to, body)| Message {
                to: to.local_addr().unwrap(),
                local_ip: None,
                segment_size: None,
                pieces: [&b"head"[..], body, b""].into_iter(),
            });
            assert_eq!(buffers.send(sender.as_fd(), messages).unwrap(), 2);
            assert_eq!(receive(&one).0, [&b"head"[..], &bodies[0]].concat());
            assert_eq!(receive(&other).0, [&b"head"[..], &bodies[1]].concat());
        }
    }

    #[test]
    fn the_address_to_send_from_can_be_chosen() {
        for (bind, from, to) in [
            ("0.0.0.0", "127.0.0.7", "127.0.0.1"),
            ("::", "::1", "::1"),
            ("::", "::ffff:127.0.0.9", "::ffff:127.0.0.1"),
        ] {
            let sender = UdpSocket::bind((bind, 0)).unwrap();
            let receiver = UdpSocket::bind((if bind == "::" { "::" } else { to }, 0)).unwrap();
            let port = receiver.local_addr().unwrap().port();
            let message = Message {
                to: SocketAddr::new(to.parse().unwrap(), port),
                local_ip: Some(from.parse().unwrap()),
                segment_size: None,
                pieces: std::iter::once(&b"x"[..]),
            };
            let mut buffers = MessageBuffers::default();
            assert_eq!(
                buffers
                    .send(sender.as_fd(), std::iter::once(message))
                    .unwrap(),
                1
            );
            assert_eq!(receive(&receiver).1.ip(), from.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn a_refused_message_is_the_first_of_the_next_call() {
        let (sender, receiver) = pair("127.0.0.1");
        let to = receiver.local_addr().unwrap();
        let nowhere = SocketAddr::new(to.ip(), 0);
        let message = |to| Message {
            to,
            local_ip: None,
            segment_size: None,
            pieces: std::iter::once(&b"x"[..]),
        };
        let mut buffers = MessageBuffers::default();
        let sent = buffers.send(sender.as_fd(), [to, nowhere, to].map(message).into_iter());
        assert_eq!(sent.unwrap(), 1);
        let refused = buffers.send(sender.as_fd(), [nowhere, to].map(message).into_iter());
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
