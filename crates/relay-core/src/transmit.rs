//! What waits to be sent: one arena of bytes, reused between drains.
//!
//! A packet on its way to many players is staged once; each of its datagrams is
//! a header of its own and the staged payload.

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

/// A datagram to send: `header` and `payload`, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// The local address to send from.
    pub local_ip: Option<IpAddr>,
    /// The socket to send from.
    pub socket: u8,
    /// The first part of the UDP payload; never empty.
    pub header: &'a [u8],
    /// The rest of it, which other datagrams may share; often empty.
    pub payload: &'a [u8],
}

impl Transmit<'_> {
    /// The length of the UDP payload.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The UDP payload in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [self.header, self.payload].concat()
    }
}

/// Bytes of the arena, good until the next drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    start: u32,
    length: u32,
}

impl Staged {
    pub(crate) const fn length(self) -> usize {
        self.length as usize
    }
}

/// Every datagram of a turn, in the order in which they were queued.
#[derive(Debug, Clone, Copy)]
pub struct Drained<'a> {
    bytes: &'a [u8],
    queue: &'a [Queued],
}

impl<'a> Drained<'a> {
    /// How many datagrams there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The datagram in this place, counted from 0.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn transmit(&self, place: usize) -> Transmit<'a> {
        self.queue[place].lend(self.bytes)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Transmit<'a>> + use<'a> {
        let bytes = self.bytes;
        self.queue.iter().map(|queued| queued.lend(bytes))
    }
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    path: Ingress,
    header: Staged,
    payload: Staged,
}

/// What an ordinary turn needs; a larger one makes the arena grow once.
const BYTES_START: usize = 128 << 10;
const QUEUE_START: usize = 256;

/// The queue of what waits to be sent; it allocates only for a larger turn than
/// ever before. A [`crate::Relay`] has its own; it is public so that an owner can
/// test its sending without one.
#[derive(Debug)]
pub struct Transmits {
    bytes: Vec<u8>,
    queue: Vec<Queued>,
    bytes_max: usize,
    /// Whether all that is queued was lent out; the next push starts over.
    is_drained: bool,
}

impl Transmits {
    /// A queue of at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(BYTES_START.min(bytes_max)),
            queue: Vec::with_capacity(QUEUE_START),
            bytes_max,
            is_drained: false,
        }
    }

    /// Keeps `bytes` for the datagrams that will share them; `None` when full.
    pub fn stage(&mut self, bytes: &[u8]) -> Option<Staged> {
        self.start_over_if_drained();
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return None;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Some(Staged {
            start,
            length: bytes.len() as u32,
        })
    }

    pub(crate) fn is_half_full(&self) -> bool {
        !self.is_drained && self.bytes.len() >= self.bytes_max / 2
    }

    /// Keeps a copy of a staged payload that `change` alters; `None` when full.
    pub(crate) fn stage_changed(
        &mut self,
        staged: Staged,
        change: impl FnOnce(&mut [u8]),
    ) -> Option<Staged> {
        if self.bytes.len() + staged.length() > self.bytes_max {
            return None;
        }
        let (start, from) = (self.bytes.len(), staged.start as usize);
        self.bytes.extend_from_within(from..from + staged.length());
        change(&mut self.bytes[start..]);
        Some(Staged {
            start: start as u32,
            length: staged.length,
        })
    }

    /// Queues `header` and a staged payload as one datagram; false when full.
    #[must_use]
    pub fn push_staged(&mut self, path: Ingress, header: &[u8], payload: Staged) -> bool {
        let Some(header) = self.stage(header) else {
            return false;
        };
        self.queue.push(Queued {
            path,
            header,
            payload,
        });
        true
    }

    /// Queues `header` and `payload` as one datagram; false when full.
    #[must_use]
    pub fn push(&mut self, path: Ingress, header: &[u8], payload: &[u8]) -> bool {
        match self.stage(payload) {
            Some(payload) => self.push_staged(path, header, payload),
            None => false,
        }
    }

    /// How many datagrams are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.is_drained { 0 } else { self.queue.len() }
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lends everything that is queued, in order.
    pub fn drain(&mut self) -> Drained<'_> {
        self.start_over_if_drained();
        self.is_drained = true;
        Drained {
            bytes: &self.bytes,
            queue: &self.queue,
        }
    }

    fn start_over_if_drained(&mut self) {
        if self.is_drained {
            self.is_drained = false;
            self.bytes.clear();
            self.queue.clear();
        }
    }
}

impl Queued {
    fn lend<'a>(&self, bytes: &'a [u8]) -> Transmit<'a> {
        let part = |staged: Staged| &bytes[staged.start as usize..][..staged.length as usize];
        Transmit {
            to: self.path.peer,
            local_ip: self.path.local_ip,
            socket: self.path.socket,
            header: part(self.header),
            payload: part(self.payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Ingress {
        Ingress {
            peer: SocketAddr::from(([192, 0, 2, 1], port)),
            local_ip: None,
            socket: 0,
        }
    }

    fn drained(transmits: &mut Transmits) -> Vec<(u16, Vec<u8>)> {
        let all = transmits.drain();
        all.iter().map(|t| (t.to.port(), t.to_vec())).collect()
    }

    #[test]
    fn a_staged_payload_is_shared() {
        let mut transmits = Transmits::new(100);
        let payload = transmits.stage(b"payload").expect("there is room");
        assert!(transmits.push_staged(path(1), b"a:", payload));
        assert!(transmits.push(path(2), b"control", b""));
        assert!(transmits.push_staged(path(3), b"b:", payload));
        let expected = vec![
            (1, b"a:payload".to_vec()),
            (2, b"control".to_vec()),
            (3, b"b:payload".to_vec()),
        ];
        assert_eq!(drained(&mut transmits), expected);
        assert_eq!(drained(&mut transmits), vec![]);
    }

    #[test]
    fn it_is_full_until_it_is_drained() {
        let mut transmits = Transmits::new(10);
        assert!(transmits.push(path(1), b"12345678", b""));
        assert!(!transmits.push(path(1), b"abc", b""));
        assert!(transmits.stage(b"abc").is_none());
        assert_eq!(drained(&mut transmits).len(), 1);
        assert!(transmits.push(path(1), b"abc", b"defghij"));
        assert_eq!(drained(&mut transmits), vec![(1, b"abcdefghij".to_vec())]);
    }
}
