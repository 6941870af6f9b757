//! Which of a node's relays a stream and its datagrams belong to.
//!
//! A node runs one relay per core and shares nothing between them: a stream, its
//! publisher and its players live on one. Socket ids say on which, `id mod
//! count`, so that whoever receives a datagram, the kernel's steering program
//! above all, needs only look at the destination in its header. A handshake has
//! no destination yet; the relay that gets one finds the stream and hands the
//! datagram over when that is another's. A group of links is founded where its
//! id steers to, and moves to the relay of its stream with its first handshake.

use std::hash::Hasher;
use std::net::SocketAddr;

use model::StreamId;
use siphasher::sip::SipHasher24;
use srt::SocketId;
use srtla::{GroupId, MovedGroup};

use crate::Ingress;

/// A relay's place among those of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u16,
    count: u16,
}

/// Handshakes go to socket id 0, and so to this relay.
pub(crate) const HANDSHAKE_SHARD: u16 = 0;

/// A datagram is handed on so often at most: relays may be wrong about each other
/// for a moment, but must not play with it.
pub(crate) const HOPS_MAX: u8 = 3;

/// Something for another relay of the node.
#[derive(Debug)]
pub struct Handover {
    /// Whose it is.
    pub shard: u16,
    pub(crate) cargo: Cargo,
}

#[derive(Debug)]
pub(crate) enum Cargo {
    /// A datagram that came to the wrong relay.
    Datagram {
        ingress: Ingress,
        datagram: Vec<u8>,
        /// How often it was handed over, this time included.
        hops: u8,
    },
    /// An SRTLA group whose stream is there.
    Group(Box<MovedGroup>),
    /// What became of groups and links.
    News(News),
}

/// What relays tell each other of their groups and links, and on which they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    GroupOn(GroupId, u16),
    GroupGone(GroupId),
    LinkOn(SocketAddr, u16),
    LinkGone(SocketAddr),
    /// Speaks SRTLA and is registered nowhere.
    Stranger(SocketAddr),
    /// Named a wrong key.
    SourceFailed(SocketAddr),
}

impl Shard {
    /// The one relay of a node that has no other.
    pub const ONLY: Self = Self { index: 0, count: 1 };

    /// The relay `index` of `count`; `None` when there is no such place.
    #[must_use]
    pub const fn new(index: u16, count: u16) -> Option<Self> {
        if index < count {
            Some(Self { index, count })
        } else {
            None
        }
    }

    /// This relay's number.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many relays the node has.
    #[must_use]
    pub const fn count(self) -> u16 {
        self.count
    }

    /// Whose socket this is.
    pub(crate) const fn of_socket(self, id: SocketId) -> u16 {
        (id.0 % self.count as u32) as u16
    }

    /// Where a group is founded: the kernel steers its registrations by the same
    /// word.
    pub(crate) fn of_registration(self, datagram: &[u8]) -> u16 {
        let word = datagram.get(12..16).and_then(<[u8]>::first_chunk).copied();
        self.of_socket(SocketId(word.map_or(0, u32::from_be_bytes)))
    }

    /// The socket id next to `id` that is this relay's.
    pub(crate) const fn own_socket(self, id: SocketId) -> SocketId {
        SocketId(id.0 - id.0 % self.count as u32 + self.index as u32)
    }

    /// Whose stream this is; `key` is the node's, the same for all its relays.
    pub(crate) fn of_stream(self, key: [u8; 16], stream: &StreamId) -> u16 {
        let mut hasher = SipHasher24::new_with_key(&key);
        hasher.write(stream.as_str().as_bytes());
        (hasher.finish() % u64::from(self.count)) as u16
    }

    /// This relay's share of what the node may have; all shares together are it.
    pub(crate) const fn share(self, node_max: u32) -> u32 {
        let count = self.count as u32;
        node_max / count + ((self.index as u32) < node_max % count) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_ids_say_whose_they_are() {
        for count in 1..9 {
            for index in 0..count {
                let shard = Shard::new(index, count).expect("there is such a place");
                for id in [1, 77, 0x3fff_fff0, 0x1234_5678] {
                    let own = shard.own_socket(SocketId(id));
                    assert_eq!(shard.of_socket(own), index);
                    assert!(own.0.abs_diff(id) < u32::from(count));
                }
            }
        }
        assert_eq!(Shard::new(2, 2), None);
    }

    #[test]
    fn shares_add_up() {
        for node_max in [0, 1, 5, 500, 501] {
            let shares = (0..3).map(|index| Shard::new(index, 3).expect("a place").share(node_max));
            assert_eq!(shares.sum::<u32>(), node_max);
        }
    }

    #[test]
    fn streams_spread_over_all_relays() {
        let shard = Shard::new(0, 4).expect("there is such a place");
        let mut streams = [0; 4];
        for number in 0..400 {
            let id = StreamId::parse(&format!("{}{number}", StreamId::PREFIX)).expect("an id");
            streams[usize::from(shard.of_stream([7; 16], &id))] += 1;
        }
        assert!(streams.iter().all(|count| *count > 60), "{streams:?}");
    }
}
