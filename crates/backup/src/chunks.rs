//! Bytes on their way between a thread that works on them and a task that moves them: chunks of
//! one size through a short channel, hashed as they pass.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many chunks may wait.
const DEPTH: usize = 2;

/// What went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// A piece of an object that is being written.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Of the full size.
    Full(Bytes),
    /// The last one, of any size: the object is whole.
    Last(Bytes),
}

#[derive(Clone, Default)]
struct Tally {
    bytes: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn passed(self) -> Passed {
        Passed {
            bytes: self.bytes,
            sha256: hex::encode(self.hash.finalize()),
        }
    }
}

/// Where a thread writes.
pub(crate) struct Sink {
    sender: Sender<Chunk>,
    chunk_bytes: usize,
    buffer: BytesMut,
    tally: Tally,
}

impl Sink {
    pub(crate) fn new(chunk_bytes: usize) -> (Self, Receiver<Chunk>) {
        let (sender, receiver) = channel(DEPTH);
        let sink = Self {
            sender,
            chunk_bytes,
            buffer: BytesMut::with_capacity(chunk_bytes),
            tally: Tally::default(),
        };
        (sink, receiver)
    }

    /// Everything was written: what is to be sent as the last chunk, once it is certain that
    /// what was written is whole.
    pub(crate) fn end(self) -> (Sender<Chunk>, Chunk, Passed) {
        let last = Chunk::Last(self.buffer.freeze());
        (self.sender, last, self.tally.passed())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == self.chunk_bytes {
            let full = self.buffer.split().freeze();
            let sent = self.sender.blocking_send(Chunk::Full(full));
            sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.buffer.reserve(self.chunk_bytes);
        }
        let taken = bytes.len().min(self.chunk_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.tally.add(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a thread reads what a task fetches.
pub(crate) struct Source {
    receiver: Receiver<io::Result<Bytes>>,
    current: Bytes,
    tally: Arc<Mutex<Tally>>,
}

/// Knows what a [`Source`] was read of, wherever that has gone.
pub(crate) struct Meter(Arc<Mutex<Tally>>);

impl Meter {
    /// What has been read so far.
    pub(crate) fn passed(&self) -> Passed {
        let tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clone().passed()
    }
}

impl Source {
    pub(crate) fn new() -> (Sender<io::Result<Bytes>>, Self, Meter) {
        let (sender, receiver) = channel(DEPTH);
        let tally = Arc::new(Mutex::new(Tally::default()));
        let source = Self {
            receiver,
            current: Bytes::new(),
            tally: tally.clone(),
        };
        (sender, source, Meter(tally))
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let given = into.len().min(self.current.len());
        into[..given].copy_from_slice(&self.current[..given]);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(&self.current[..given]);
        self.current.advance(given);
        Ok(given)
    }
}
