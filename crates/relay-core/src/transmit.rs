//! What waits to be sent: one arena of bytes, reused between drains.

use std::net::{IpAddr, SocketAddr};

/// Where a datagram came from and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingress {
    /// Who sent it.
    pub peer: SocketAddr,
    /// The local address it came to; answers leave from there.
    pub local_ip: Option<IpAddr>,
    /// Which of [`crate::Config::sockets`] took it.
    pub socket: u8,
}

/// A datagram to send. Its contents are the relay's until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// The local address to send from.
    pub local_ip: Option<IpAddr>,
    /// The socket to send from.
    pub socket: u8,
    /// The whole UDP payload.
    pub contents: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    path: Ingress,
    start: u32,
    length: u32,
}

/// The queue; after the first seconds it allocates nothing more.
#[derive(Debug)]
pub(crate) struct Transmits {
    bytes: Vec<u8>,
    queue: Vec<Queued>,
    next: usize,
    bytes_max: usize,
}

impl Transmits {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            queue: Vec::new(),
            next: 0,
            bytes_max,
        }
    }

    /// Queues `header` and `payload` as one datagram; false when full.
    #[must_use]
    pub(crate) fn push(&mut self, path: Ingress, header: &[u8], payload: &[u8]) -> bool {
        let length = header.len() + payload.len();
        if self.bytes.len() + length > self.bytes_max {
            return false;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(payload);
        self.queue.push(Queued {
            path,
            start,
            length: length as u32,
        });
        true
    }

    /// Lends the next datagram; once all are lent the arena starts over.
    pub(crate) fn pop(&mut self) -> Option<Transmit<'_>> {
        let Some(queued) = self.queue.get(self.next).copied() else {
            self.clear();
            return None;
        };
        self.next += 1;
        let start = queued.start as usize;
        Some(Transmit {
            to: queued.path.peer,
            local_ip: queued.path.local_ip,
            socket: queued.path.socket,
            contents: &self.bytes[start..start + queued.length as usize],
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.queue.clear();
        self.next = 0;
    }
}
