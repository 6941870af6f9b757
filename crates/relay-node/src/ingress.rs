//! The receive side of a turn: buffers for one batch, split into datagrams.

use std::io::{self, IoSliceMut};

use quinn_udp::{BATCH_SIZE, RecvMeta};
use relay_core::Ingress;

use crate::sockets::{Socket, canonical};

/// Room for the longest train the kernel joins.
const TRAIN_BYTES_MAX: usize = 1 << 16;

/// The buffers of one batch; made once, used for every receive.
pub(crate) struct Batch {
    bytes: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; BATCH_SIZE * TRAIN_BYTES_MAX].into(),
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    /// Receives once. False when there is nothing more to receive now.
    pub(crate) fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        self.filled = 0;
        let mut chunks = self.bytes.chunks_exact_mut(TRAIN_BYTES_MAX);
        let mut buffers: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().expect("a chunk for each of the batch"))
        });
        match socket.receive(&mut buffers, &mut self.metas) {
            Ok(count) => {
                self.filled = count;
                // A short batch means that the queue was empty at its end.
                Ok(count == BATCH_SIZE)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many trains the last receive brought.
    pub(crate) const fn trains(&self) -> usize {
        self.filled
    }

    /// The datagrams of one train, with where they came from.
    pub(crate) fn datagrams(
        &self,
        train: usize,
        socket: u8,
    ) -> (Ingress, impl Iterator<Item = &[u8]>) {
        let meta = &self.metas[train];
        let start = train * TRAIN_BYTES_MAX;
        let ingress = Ingress {
            peer: canonical(meta.addr),
            local_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
            socket,
        };
        let bytes = &self.bytes[start..start + meta.len];
        (ingress, bytes.chunks(meta.stride.max(1)))
    }
}
