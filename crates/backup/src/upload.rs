//! From a stream of bytes to an object in every destination at once.

use std::io::{self, Read, Write as _};

use futures_util::future::join_all;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::sync::mpsc::Receiver;

use crate::chunks::{Chunk, Passed, Sink};
use crate::destination::Destination;
use crate::error::Error;
use crate::seal::{Seal, finish};

/// Stores take parts of at least 5 MiB,
const PART_BYTES_MIN: u64 = 8 << 20;
/// and at most 10 000 of them.
const PARTS: u64 = 8000;
const COPY_BYTES: usize = 256 << 10;

/// What became of an object.
#[derive(Debug)]
pub(crate) struct Stored {
    /// What it is, sealed.
    pub(crate) sealed: Passed,
    /// How many bytes were put into it.
    pub(crate) plain_bytes: u64,
    /// Per destination, in their order.
    pub(crate) outcomes: Vec<Result<(), Error>>,
}

/// Seals what `reader` gives, about `bytes`, and stores it as `name`. It stands only
/// if `certain`, awaited at its end, says that it was all.
pub(crate) async fn store(
    destinations: &[Destination],
    seal: &Seal,
    name: &str,
    bytes: u64,
    reader: impl Read + Send + 'static,
    certain: impl Future<Output = Result<(), Error>>,
) -> Result<Stored, Error> {
    let part_bytes = (bytes / PARTS).max(PART_BYTES_MIN);
    let (sink, chunks) = Sink::new(usize::try_from(part_bytes).unwrap_or(usize::MAX));
    let seal = seal.clone();
    let sealed = tokio::task::spawn_blocking(move || pump(reader, &seal, sink));
    let made = async {
        let sealed = sealed.await.map_err(io::Error::other).flatten();
        // What the source has to say explains more than a pipe that ended.
        certain.await?;
        let (sink, plain_bytes) = sealed.map_err(|error| Error::Program {
            program: "the stream",
            reason: error.to_string(),
        })?;
        let (sender, last, passed) = sink.end();
        // A receiver that is gone has its own reasons to tell.
        let _ = sender.send(last).await;
        Ok((passed, plain_bytes))
    };
    let (made, outcomes) = tokio::join!(made, spread(destinations, name, chunks));
    if outcomes.iter().all(Result::is_err) {
        let first = outcomes.into_iter().find_map(Result::err);
        // None of them failed by itself where the source did.
        return match (made, first) {
            (Err(error), _)
                if !matches!(
                    error,
                    Error::Program {
                        program: "the stream",
                        ..
                    }
                ) =>
            {
                Err(error)
            }
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(Error::Config("no destination".to_owned())),
        };
    }
    let (sealed, plain_bytes) = made?;
    Ok(Stored {
        sealed,
        plain_bytes,
        outcomes,
    })
}

fn pump(mut reader: impl Read, seal: &Seal, sink: Sink) -> io::Result<(Sink, u64)> {
    let mut sealer = seal.writer(sink)?;
    let (mut buffer, mut bytes) = (vec![0; COPY_BYTES], 0);
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((finish(sealer)?, bytes));
        }
        sealer.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

/// An object on its way into one destination.
struct Upload<'a> {
    destination: &'a Destination,
    name: &'a str,
    parts: Option<Box<dyn MultipartUpload>>,
    outcome: Option<Result<(), Error>>,
}

/// Gives every destination each chunk; the slowest sets the pace. One that fails is left
/// behind, and keeps nothing of it.
async fn spread(
    destinations: &[Destination],
    name: &str,
    mut chunks: Receiver<Chunk>,
) -> Vec<Result<(), Error>> {
    let upload = |destination| Upload {
        destination,
        name,
        parts: None,
        outcome: None,
    };
    let mut uploads: Vec<Upload<'_>> = destinations.iter().map(upload).collect();
    while uploads.iter().any(|upload| upload.outcome.is_none()) {
        let Some(chunk) = chunks.recv().await else {
            break;
        };
        let taken = uploads
            .iter_mut()
            .filter(|upload| upload.outcome.is_none())
            .map(|upload| upload.take(&chunk));
        join_all(taken).await;
    }
    chunks.close();
    join_all(uploads.into_iter().map(Upload::end)).await
}

impl Upload<'_> {
    async fn take(&mut self, chunk: &Chunk) {
        let result = match chunk {
            Chunk::Full(bytes) => self.part(bytes.clone().into()).await,
            Chunk::Last(bytes) => self.last(bytes.clone().into()).await,
        };
        match (result, chunk) {
            (Err(error), _) => self.outcome = Some(Err(self.destination.failed(&error))),
            (Ok(()), Chunk::Last(_)) => self.outcome = Some(Ok(())),
            (Ok(()), Chunk::Full(_)) => {}
        }
    }

    async fn part(&mut self, payload: PutPayload) -> object_store::Result<()> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let path = self.destination.path(self.name);
                let begun = self.destination.store().put_multipart(&path).await?;
                self.parts.insert(begun)
            }
        };
        parts.put_part(payload).await
    }

    async fn last(&mut self, payload: PutPayload) -> object_store::Result<()> {
        if self.parts.is_none() {
            let path = self.destination.path(self.name);
            return self.destination.store().put(&path, payload).await.map(drop);
        }
        if payload.content_length() > 0 {
            self.part(payload).await?;
        }
        match &mut self.parts {
            Some(parts) => parts.complete().await.map(drop),
            None => Ok(()),
        }
    }

    /// What became of it; what was never finished is taken back.
    async fn end(mut self) -> Result<(), Error> {
        let outcome = self.outcome.unwrap_or(Err(Error::Stopped));
        if let (Err(_), Some(parts)) = (&outcome, &mut self.parts)
            && let Err(error) = parts.abort().await
        {
            let name = self.destination.name();
            tracing::warn!("destination {name} keeps parts of {}: {error}", self.name);
        }
        outcome
    }
}
