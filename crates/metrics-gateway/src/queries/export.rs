//! Events, all of them, as a stream that never is in memory as a whole.
//!
//! ```text
//! page of the database ▸ lines ▸ compressed ▸ a place for one piece ▸ the reader
//! ```
//!
//! A page is asked for when the one before is on its way, so a slow reader slows the reading down
//! and holds nothing in the database. What ends early ends without its last piece: a reader that
//! looks at the framing cannot take it for the whole.

mod pages;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use model::UnixMillis;
use service_kit::places::Place;
use storage::telemetry::days::DAY_US;
use storage::telemetry::export::Exported;
use tokio::sync::mpsc;

use super::encoding::{Coding, Encoder};
use super::parameters::{Fault, Given};
use super::rows::Format;
use super::{Queries, Refusal, place, to_its_end};
use crate::metrics::queries as metrics;
use pages::Pages;

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;
/// A reader that takes no piece for this long is gone.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// How long a span can be: as long as events can be kept, and more.
const SPAN_MAX_US: i64 = 3700 * DAY_US;

/// Which events, and how they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Unix microseconds.
    from_us: i64,
    /// Without it.
    to_us: i64,
    event_type: Option<String>,
    pub(crate) format: Format,
}

/// Whether an export may go on: asked before each page.
pub(crate) type Allowed = Box<dyn Fn() -> bool + Send>;

/// What is read.
#[derive(Debug)]
pub(crate) struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    is_over: bool,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    /// There are no more.
    End,
}

/// It ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the export ended early")]
pub(crate) struct Broken;

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the reader went away")]
    Gone,
    #[error("the reader took nothing for a minute")]
    Stalled,
    #[error("who reads may not any more")]
    Forbidden,
    #[error("the service stops")]
    Stopping,
    #[error("the events cannot be read: {}", .0.code())]
    Refused(Refusal),
    #[error("the events cannot be written")]
    Written(#[from] io::Error),
}

struct Work {
    pages: Pages,
    format: Format,
    encoder: Encoder,
    sender: mpsc::Sender<Piece>,
    allowed: Allowed,
}

impl Wanted {
    /// Reads a request's parameters.
    pub(crate) fn read(query: &str, now: UnixMillis) -> Result<Self, Fault> {
        let mut given = Given::read(query)?;
        let at = |us: i64| Timestamp::from_microsecond(us).unwrap_or_default();
        let to_us = given.instant("to", now, at(now.0.saturating_mul(1000)))?;
        let to_us = to_us.as_microsecond();
        let from_us = given
            .instant("from", now, at(to_us - DAY_US))?
            .as_microsecond();
        let formats = [("ndjson", Format::Ndjson), ("csv", Format::Csv)];
        let format = given.word("format", &formats)?;
        let event_type = given.event_type()?;
        given.end()?;
        if from_us < 0 || from_us >= to_us || to_us - from_us > SPAN_MAX_US {
            let expected = "before to, not before 1970, 3700 days at most";
            return Err(Fault::new("from", expected));
        }
        Ok(Self {
            from_us,
            to_us,
            event_type,
            format,
        })
    }
}

/// Begins an export; the first page is read before there is an answer, so that most of what can
/// be wrong is told by a status.
pub(crate) async fn begin(
    queries: &Arc<Queries>,
    app_id: i32,
    (wanted, coding): (Wanted, Coding),
    allowed: Allowed,
) -> Result<Pieces, Refusal> {
    let taken = place(&queries.exports, app_id)?;
    let (its, span) = (Arc::clone(queries), wanted.clone());
    let begun = to_its_end(async move {
        let mut pages = Pages::of(&its, app_id, &span).await?;
        let first = pages.next().await?;
        Ok((taken, pages, first))
    });
    let (taken, pages, first) = begun.await?;
    let encoder = Encoder::new(coding).map_err(|_| Refusal::Full)?;
    let (sender, receiver) = mpsc::channel(1);
    let work = Work {
        pages,
        format: wanted.format,
        encoder,
        sender,
        allowed,
    };
    let stopping = queries.stopping.clone();
    tokio::spawn(async move {
        let _taken: Place<i32> = taken;
        let ended = tokio::select! {
            () = stopping.cancelled() => Err(Failure::Stopping),
            ended = work.write(first) => ended,
        };
        metrics::export_ended(ended.is_ok());
        if let Err(error) = ended {
            tracing::info!(app.id = app_id, %error, "an export ended early");
        }
    });
    Ok(Pieces {
        receiver,
        is_over: false,
    })
}

impl Work {
    async fn write(mut self, mut page: Vec<Exported>) -> Result<(), Failure> {
        self.format.begin(&mut self.encoder)?;
        while !page.is_empty() {
            let events = page.len();
            self.encoder = encode(self.encoder, self.format, page).await?;
            send(&self.sender, self.encoder.take()).await?;
            metrics::exported(events);
            if !(self.allowed)() {
                return Err(Failure::Forbidden);
            }
            page = self.pages.next().await.map_err(Failure::Refused)?;
        }
        send(&self.sender, self.encoder.finish()?).await?;
        pass(&self.sender, Piece::End).await
    }
}

/// A page takes milliseconds to compress: not where requests are answered.
async fn encode(
    mut encoder: Encoder,
    format: Format,
    page: Vec<Exported>,
) -> Result<Encoder, Failure> {
    let encoded = tokio::task::spawn_blocking(move || {
        for event in &page {
            format.write(event, &mut encoder)?;
        }
        io::Result::Ok(encoder)
    });
    Ok(encoded.await.map_err(io::Error::other)??)
}

async fn send(sender: &mpsc::Sender<Piece>, bytes: Vec<u8>) -> Result<(), Failure> {
    let mut bytes = Bytes::from(bytes);
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        pass(sender, Piece::Bytes(piece)).await?;
    }
    Ok(())
}

async fn pass(sender: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Failure> {
    match tokio::time::timeout(STALLED_MAX, sender.send(piece)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Failure::Gone),
        Err(_) => Err(Failure::Stalled),
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.receiver.poll_recv(context));
        self.is_over = !matches!(piece, Some(Piece::Bytes(_)));
        Poll::Ready(match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Piece::End) => None,
            None => Some(Err(Broken)),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_500);

    #[test]
    fn nothing_said_is_the_last_day() {
        let wanted = Wanted::read("", NOW).unwrap();
        assert_eq!(wanted.to_us, NOW.0 * 1000);
        assert_eq!(wanted.to_us - wanted.from_us, DAY_US);
        assert_eq!(wanted.format, Format::Ndjson);
        for bad in [
            "from=now",
            "format=xml",
            "step=1h",
            "from=1900-01-01T00:00:00Z",
        ] {
            assert!(Wanted::read(bad, NOW).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_what_was_sent_to_its_end_ends_well() {
        for is_whole in [true, false] {
            let (sender, receiver) = mpsc::channel(4);
            sender.send(Piece::Bytes(Bytes::from("a"))).await.unwrap();
            if is_whole {
                sender.send(Piece::End).await.unwrap();
            }
            drop(sender);
            let pieces = Pieces {
                receiver,
                is_over: false,
            };
            let mut read: Vec<_> = pieces.collect().await;
            let last = read.pop();
            let expected = if is_whole {
                Ok(Bytes::from("a"))
            } else {
                Err(Broken)
            };
            assert_eq!(last, Some(expected));
        }
    }
}
