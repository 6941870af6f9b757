//! Many datagrams a system call: `recvmmsg` and `sendmmsg` over buffers that are
//! made once. IPv4 only: everything here stays on one machine.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

use nix::libc;

/// Room for the control messages that a receiver asks for: a timestamp and the
/// size of a train's segments.
const CONTROL_WORDS: usize = 12;

/// The most datagrams in one train: the kernel's `UDP_MAX_SEGMENTS` before 6.9.
pub(super) const TRAIN_SEGMENTS_MAX: usize = 64;
/// The most bytes in one train: UDP's own limit, headers aside.
pub(super) const TRAIN_BYTES_MAX: usize = 65_000;

/// What one receive gave: a datagram, or a train of them on a socket with
/// `UDP_GRO`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) bytes: &'a [u8],
    /// The sender's UDP port.
    pub(super) from_port: u16,
    /// The size of every datagram but the last.
    pub(super) segment_size: usize,
    /// When the kernel took it, in nanoseconds of the system's clock; 0 unless
    /// the socket asks for `SO_TIMESTAMPNS`.
    pub(super) arrived_ns: u64,
}

/// Places for received datagrams.
pub(super) struct ReceiveBatch {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<[u64; CONTROL_WORDS]>,
    buffers: Vec<u8>,
    buffer_bytes: usize,
}

impl ReceiveBatch {
    pub(super) fn new(places: usize, buffer_bytes: usize) -> Self {
        // SAFETY: these structs of the C library are valid when zero.
        let (header, name) = unsafe { (zeroed(), zeroed()) };
        let nowhere = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Self {
            headers: vec![header; places],
            iovecs: vec![nowhere; places],
            names: vec![name; places],
            controls: vec![[0; CONTROL_WORDS]; places],
            buffers: vec![0; places * buffer_bytes],
            buffer_bytes,
        }
    }

    pub(super) fn places(&self) -> usize {
        self.headers.len()
    }

    /// Takes what waits in `socket`, which does not block. Returns how many
    /// places were filled, for [`received`](Self::received).
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.prepare();
        // SAFETY: every header points into vectors of `self`, which are not
        // touched during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => passing(io::Error::last_os_error()),
        }
    }

    /// The kernel overwrites lengths, so every call starts anew.
    fn prepare(&mut self) {
        let buffers = self.buffers.chunks_exact_mut(self.buffer_bytes);
        for (place, buffer) in buffers.enumerate() {
            self.iovecs[place] = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            let header = &mut self.headers[place].msg_hdr;
            header.msg_iov = &raw mut self.iovecs[place];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut self.names[place]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_control = self.controls[place].as_mut_ptr().cast();
            header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
        }
    }

    /// One of the places that the last [`receive`](Self::receive) filled.
    pub(super) fn received(&self, place: usize) -> Received<'_> {
        let header = &self.headers[place];
        let start = place * self.buffer_bytes;
        let length = (header.msg_len as usize).min(self.buffer_bytes);
        let mut received = Received {
            bytes: &self.buffers[start..start + length],
            from_port: u16::from_be(self.names[place].sin_port),
            segment_size: length,
            arrived_ns: 0,
        };
        read_controls(&header.msg_hdr, &mut received);
        received
    }
}

fn read_controls(header: &libc::msghdr, received: &mut Received<'_>) {
    // SAFETY: the kernel wrote whole control messages into the buffer that the
    // header points to, and CMSG_* stay inside its length.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = message.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time: libc::timespec = data.cast::<libc::timespec>().read_unaligned();
                    received.arrived_ns = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    received.segment_size = data.cast::<libc::c_int>().read_unaligned() as usize;
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
}

/// A train to send: the parts one after another, each datagram but the last of
/// one size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) to: SocketAddrV4,
    /// What to send, in pieces that end where datagrams do.
    pub(super) parts: &'a [io::IoSlice<'a>],
    pub(super) segment_size: u16,
}

/// Trains that wait for one `sendmmsg`.
pub(super) struct SendBatch {
    headers: Vec<libc::mmsghdr>,
    names: Vec<libc::sockaddr_in>,
    controls: Vec<[u64; 4]>,
}

impl SendBatch {
    pub(super) fn new(places: usize) -> Self {
        // SAFETY: these structs of the C library are valid when zero.
        let (header, name) = unsafe { (zeroed(), zeroed()) };
        Self {
            headers: vec![header; places],
            names: vec![name; places],
            controls: vec![[0; 4]; places],
        }
    }

    /// Sends all `trains`. One that a full socket refuses is lost, as on a real
    /// path.
    pub(super) fn send(&mut self, socket: &UdpSocket, trains: &[Outgoing<'_>]) -> io::Result<()> {
        let mut left = trains;
        while !left.is_empty() {
            let sent = self.send_some(socket, left)?;
            left = &left[sent.max(1)..];
        }
        Ok(())
    }

    fn send_some(&mut self, socket: &UdpSocket, trains: &[Outgoing<'_>]) -> io::Result<usize> {
        let count = trains.len().min(self.headers.len());
        for (place, train) in trains.iter().take(count).enumerate() {
            self.prepare(place, train);
        }
        // SAFETY: the first `count` headers point into `self` and into what
        // `trains` borrows; sendmmsg writes only into the headers.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as u32,
                libc::MSG_DONTWAIT,
            )
        };
        match usize::try_from(sent) {
            Ok(sent) => Ok(sent),
            Err(_) => passing(io::Error::last_os_error()),
        }
    }

    fn prepare(&mut self, place: usize, train: &Outgoing<'_>) {
        let bytes: usize = train.parts.iter().map(|part| part.len()).sum();
        self.names[place] = sockaddr(train.to);
        let header = &mut self.headers[place].msg_hdr;
        header.msg_name = (&raw mut self.names[place]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        // IoSlice has the layout of iovec, and sendmmsg does not write to it.
        header.msg_iov = train.parts.as_ptr().cast::<libc::iovec>().cast_mut();
        header.msg_iovlen = train.parts.len();
        if bytes > usize::from(train.segment_size) {
            let control = &mut self.controls[place];
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = write_segment_size(control, train.segment_size);
        } else {
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
        }
    }
}

/// Writes the control message `UDP_SEGMENT`; returns its length.
fn write_segment_size(control: &mut [u64; 4], segment_size: u16) -> usize {
    // SAFETY: CMSG_SPACE of two bytes is 24, and `control` has 32.
    unsafe {
        let space = libc::CMSG_SPACE(size_of::<u16>() as u32) as usize;
        let message = control.as_mut_ptr().cast::<libc::cmsghdr>();
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as usize;
        let data = message.cast::<u8>().add(size_of::<libc::cmsghdr>());
        data.cast::<u16>().write_unaligned(segment_size);
        space
    }
}

fn sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// A socket that is empty, full or refused for now is no failure.
fn passing(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock
        | io::ErrorKind::Interrupted
        | io::ErrorKind::ConnectionRefused => Ok(0),
        _ if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
        _ => Err(error),
    }
}

/// Only IPv4 has a place in these batches.
///
/// # Errors
/// When `address` is of IPv6.
pub(super) fn ipv4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(v4) => Ok(v4),
        SocketAddr::V6(v6) => Err(io::Error::other(format!("{v6}: give an IPv4 address"))),
    }
}

/// Bytes of a socket option that is not wrapped elsewhere: joins received
/// datagrams of one flow into trains.
///
/// # Errors
/// When the kernel cannot.
pub(super) fn enable_gro(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is one int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
