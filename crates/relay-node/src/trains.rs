//! Which of a turn's datagrams leave together: those to one place, of one size
//! but for the last, in the order in which they were queued.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use relay_core::{Drained, Transmit};

/// UDP's own limit on what the kernel takes at once, headers aside.
const TRAIN_BYTES_MAX: usize = 65_000;
/// The kernel's bound on datagrams in a train (`UDP_MAX_SEGMENTS` before 6.9).
const TRAIN_SEGMENTS_MAX: usize = 64;
/// The end of a train's list.
const NONE: u32 = u32::MAX;

/// The way of a train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) to: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) socket: u8,
}

impl From<&Transmit<'_>> for Path {
    fn from(transmit: &Transmit<'_>) -> Self {
        Self {
            to: transmit.to,
            local_ip: transmit.local_ip,
            socket: transmit.socket,
        }
    }
}

/// Datagrams that leave in one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Train {
    pub(crate) path: Path,
    /// The size of each datagram but the last, which may be shorter.
    pub(crate) segment_size: usize,
    /// How many there are.
    pub(crate) segments: usize,
    bytes: usize,
    is_closed: bool,
    first: u32,
    last: u32,
}

/// The trains of a turn; made once, used for every turn.
#[derive(Default)]
pub(crate) struct Trains {
    trains: Vec<Train>,
    /// For each datagram the next one of its train.
    next: Vec<u32>,
    open: HashMap<Path, u32>,
}

impl Trains {
    /// Joins a turn's datagrams. `segments_max` says for a socket how many it
    /// takes at once; 1 without the offload.
    pub(crate) fn join(&mut self, drained: Drained<'_>, segments_max: impl Fn(u8) -> usize) {
        self.trains.clear();
        self.next.clear();
        self.open.clear();
        for (place, transmit) in drained.iter().enumerate() {
            let most = segments_max(transmit.socket).min(TRAIN_SEGMENTS_MAX);
            self.add(place as u32, &transmit, most);
        }
    }

    fn add(&mut self, place: u32, transmit: &Transmit<'_>, segments_max: usize) {
        self.next.push(NONE);
        let path = Path::from(transmit);
        let length = transmit.length();
        if let Some(train) = self.open.get(&path) {
            let train = &mut self.trains[*train as usize];
            if train.takes(length, segments_max) {
                self.next[train.last as usize] = place;
                train.last = place;
                train.segments += 1;
                train.bytes += length;
                train.is_closed = length < train.segment_size;
                return;
            }
        }
        self.open.insert(path, self.trains.len() as u32);
        self.trains.push(Train {
            path,
            segment_size: length,
            segments: 1,
            bytes: length,
            is_closed: false,
            first: place,
            last: place,
        });
    }

    /// The trains, each no earlier than its first datagram was queued.
    pub(crate) fn all(&self) -> &[Train] {
        &self.trains
    }

    /// The datagrams of a train.
    pub(crate) fn datagrams<'a>(
        &'a self,
        train: &Train,
        drained: Drained<'a>,
    ) -> impl Iterator<Item = Transmit<'a>> + 'a {
        let first = (train.first != NONE).then_some(train.first);
        let follow = |place: &u32| Some(self.next[*place as usize]).filter(|next| *next != NONE);
        std::iter::successors(first, follow).map(move |place| drained.transmit(place as usize))
    }
}

impl Train {
    const fn takes(&self, length: usize, segments_max: usize) -> bool {
        !self.is_closed
            && length > 0
            && length <= self.segment_size
            && self.segments < segments_max
            && self.bytes + length <= TRAIN_BYTES_MAX
    }
}
