//! What the kernel does for a group of sockets on one port: it puts each
//! datagram on the socket of the thread that its SRT socket id belongs to.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;

/// Where an SRT header has its destination, counted from the UDP payload.
const DESTINATION_OFFSET: u32 = 12;
/// `SK_MEMINFO_DROPS` of `SO_MEMINFO`, and how many words that answers.
const MEMINFO_DROPS: usize = 8;
const MEMINFO_WORDS: usize = 9;

/// Has the kernel choose among the `count` sockets of the group that `socket` is
/// in, in the order in which they were bound: the destination modulo `count`.
/// What is too short to have one goes to the first, and so do handshakes, whose
/// destination is 0. To be called once, when all are bound.
///
/// # Errors
/// When the kernel does not take the program.
pub(crate) fn attach(socket: BorrowedFd<'_>, count: u16) -> io::Result<()> {
    let statement = |code, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = [
        statement(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            DESTINATION_OFFSET,
        ),
        statement(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count.into()),
        statement(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    Ok(setsockopt(&socket, AttachReusePortCbpf, &program)?)
}

/// How many datagrams the kernel threw away because `socket` had no room.
///
/// # Errors
/// When the kernel does not say.
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut words = [0u32; MEMINFO_WORDS];
    let mut length = size_of_val(&words) as libc::socklen_t;
    // SAFETY: the kernel writes `length` bytes at most, and `words` has them.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(words[MEMINFO_DROPS])
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;
    use std::time::{Duration, Instant};

    use quinn_udp::RecvMeta;

    use crate::sockets::Socket;

    fn receive(socket: &Socket) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1 << 16];
        let mut metas = [RecvMeta::default()];
        let count = socket
            .receive(&mut [IoSliceMut::new(&mut buffer)], &mut metas)
            .ok()?;
        (count == 1).then(|| buffer[..metas[0].len].to_vec())
    }

    /// Which of the group gets it; loopback delivers before `send` returns.
    fn steered(group: &[Socket], caller: &UdpSocket, datagram: &[u8]) -> usize {
        let port = group[0].local_addr().port();
        caller.send_to(datagram, ("127.0.0.1", port)).unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let takers = group
                .iter()
                .position(|socket| receive(socket).as_deref() == Some(datagram));
            match takers {
                Some(place) => return place,
                None if Instant::now() < patience => std::thread::yield_now(),
                None => panic!("nobody got it"),
            }
        }
    }

    #[test]
    fn datagrams_go_where_their_socket_id_says() {
        for listen in ["127.0.0.1:0", "[::]:0"] {
            let group = Socket::bind_group(listen.parse().unwrap(), 3).unwrap();
            for id in [0u32, 1, 2, 3, 0x3fff_ffff, 77_777] {
                let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
                let mut datagram = [0x80; 20];
                datagram[12..16].copy_from_slice(&id.to_be_bytes());
                assert_eq!(steered(&group, &caller, &datagram), id as usize % 3);
                assert_eq!(steered(&group, &caller, &datagram[..10]), 0);
            }
        }
    }

    #[test]
    fn a_port_that_another_node_has_is_refused() {
        let group = Socket::bind_group("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let taken = Socket::bind_group(group[0].local_addr(), 2);
        assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_kernel_says_what_it_dropped() {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(super::drops(socket.as_fd()).unwrap(), 0);
        let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sent = 20_000;
        for _ in 0..sent {
            caller.send_to(&[0; 1400], socket.local_addr()).unwrap();
        }
        let received = std::iter::from_fn(|| receive(&socket));
        let received: usize = received.map(|bytes| bytes.len() / 1400).sum();
        assert_eq!(socket.kernel_drops(), sent - received as u64);
        assert!(
            received < sent as usize,
            "the buffer was too large for this test"
        );
    }
}
