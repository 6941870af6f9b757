//! Events into PostgreSQL: a few writers take what waits, together, and write it at once.
//!
//! ```text
//! requests ▸ queue, bounded ▸ a writer takes what is there, at most a flush, or waits for a
//!   few milliseconds ▸ one transaction ▸ COMMIT ▸ every request of it is answered
//! ```
//!
//! While all writers write, the queue grows, and so does the next flush: under load the cost of
//! a transaction is shared by thousands of events, and without it an event waits for nobody.
//! Events are appended; a flush of which some were there already is merged instead, see [`Ways`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::clock::Clock;
use storage::Pool;
use storage::telemetry::intake::{self, Context, Event, Flush};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::batch::Batch;
use super::event::{self, Fault};
use super::seen::Seen;
use super::sink::{Failure, Sink};
use super::slis::Slis;
use super::ways::Ways;
use crate::metrics::events as metrics;

/// Tries when another transaction is in the way.
const ATTEMPTS_MAX: u32 = 5;
/// Contexts that are remembered as kept.
const CONTEXTS_SEEN_MAX: usize = 200_000;

/// How much is written at once, and how much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) writers: u8,
    /// Events of one flush, but for the last batch's.
    pub(crate) flush_events: usize,
    pub(crate) linger: Duration,
    /// Events that wait, at most.
    pub(crate) queue_events_max: usize,
}

/// The entrance. The writers end when it and the queue are gone.
pub(crate) struct Writers {
    queue: mpsc::UnboundedSender<Waiting>,
    room: Room,
}

/// One for each event that waits or is being written.
#[derive(Clone)]
struct Room {
    free: Arc<Semaphore>,
    max: usize,
}

struct Waiting {
    batch: Arc<Batch>,
    done: oneshot::Sender<Result<(), Failure>>,
    _room: OwnedSemaphorePermit,
}

/// One of the writers.
struct Writer {
    pool: Pool,
    shard: i16,
    settings: Settings,
    seen: Arc<Seen>,
    clock: Arc<dyn Clock>,
    slis: Arc<Slis>,
    room: Room,
    ways: Ways,
}

impl Sink for Writers {
    fn keep(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), Failure>> {
        let waits = self.enqueue(batch);
        async move { waits?.await.unwrap_or(Err(Failure::Unavailable)) }.boxed()
    }
}

impl Writers {
    /// Starts them; they work until the future that comes with the entrance is dropped, or the
    /// entrance is and nothing waits.
    pub(crate) fn start(
        pool: &Pool,
        settings: Settings,
        slis: &Arc<Slis>,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let seen = Arc::new(Seen::new(CONTEXTS_SEEN_MAX));
        let room = Room::new(settings.queue_events_max);
        let writers = (0..settings.writers).map(|shard| {
            let writer = Writer {
                pool: pool.clone(),
                shard: shard.into(),
                settings,
                seen: seen.clone(),
                clock: slis.clock.clone(),
                slis: slis.clone(),
                room: room.clone(),
                ways: Ways::new(),
            };
            writer.work(waiting.clone())
        });
        let work = futures_util::future::join_all(writers).map(drop);
        (Self { queue, room }, work)
    }

    fn enqueue(
        &self,
        batch: Arc<Batch>,
    ) -> Result<oneshot::Receiver<Result<(), Failure>>, Failure> {
        let events = u32::try_from(batch.len()).map_err(|_| Failure::Full)?;
        let room = self.room.take(events);
        let (done, answer) = oneshot::channel();
        let waiting = Waiting {
            batch,
            done,
            _room: room.ok_or(Failure::Full)?,
        };
        self.queue.send(waiting).map_err(|_| Failure::Unavailable)?;
        Ok(answer)
    }
}

impl Room {
    fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
        }
    }

    fn take(&self, events: u32) -> Option<OwnedSemaphorePermit> {
        let taken = self.free.clone().try_acquire_many_owned(events).ok();
        self.show();
        taken
    }

    fn show(&self) {
        metrics::queued(self.max.saturating_sub(self.free.available_permits()));
    }
}

impl Writer {
    async fn work(self, waiting: Arc<Mutex<mpsc::UnboundedReceiver<Waiting>>>) {
        loop {
            // One writer collects at a time; the others write meanwhile.
            let flush = self.collect(&mut *waiting.lock().await).await;
            if flush.is_empty() {
                return;
            }
            self.write_all(flush).await;
            self.room.show();
        }
    }

    /// What waits; nothing once the queue is closed and empty.
    async fn collect(&self, waiting: &mut mpsc::UnboundedReceiver<Waiting>) -> Vec<Waiting> {
        let Some(first) = waiting.recv().await else {
            return Vec::new();
        };
        let until = tokio::time::Instant::now() + self.settings.linger;
        let mut events = first.batch.len();
        let mut flush = vec![first];
        while events < self.settings.flush_events {
            match tokio::time::timeout_at(until, waiting.recv()).await {
                Ok(Some(next)) => {
                    events += next.batch.len();
                    flush.push(next);
                }
                Ok(None) | Err(_) => break,
            }
        }
        flush
    }

    /// Writes batches together; when PostgreSQL refuses some of it, one by one, so that a batch
    /// spoils no other.
    async fn write_all(&self, flush: Vec<Waiting>) {
        let batches: Vec<&Batch> = flush.iter().map(|one| &*one.batch).collect();
        match self.write(&batches).await {
            Err(Refused::Data) => {
                for one in flush {
                    let kept = self.write_apart(Arc::unwrap_or_clone(one.batch)).await;
                    let _ = one.done.send(kept);
                }
            }
            result => {
                let result = result.map_err(|_| Failure::Unavailable);
                for one in flush {
                    // Whoever gave up waiting sends it again.
                    let _ = one.done.send(result);
                }
            }
        }
    }

    /// Writes a batch by halves, until what PostgreSQL refuses is found and in quarantine.
    fn write_apart(&self, mut batch: Batch) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            match self.write(&[&batch]).await {
                Ok(()) => Ok(()),
                Err(Refused::Away) => Err(Failure::Unavailable),
                Err(Refused::Data) if batch.events.len() <= 1 => {
                    let Some(event) = batch.events.pop() else {
                        return Err(Failure::Unavailable);
                    };
                    metrics::failed(Fault::Database.as_str(), 1);
                    let shown = format!("{event:?}");
                    let app_id = event.app_id;
                    let refused = event::refused(app_id, &shown, Fault::Database);
                    batch.refused.push(refused);
                    let written = self.write(&[&batch]).await;
                    written.map_err(|_| Failure::Unavailable)
                }
                Err(Refused::Data) => {
                    let second = batch.split();
                    self.write_apart(batch).await?;
                    self.write_apart(second).await
                }
            }
        }
        .boxed()
    }

    async fn write(&self, batches: &[&Batch]) -> Result<(), Refused> {
        let flush = self.flush(batches);
        let started = Instant::now();
        let mut attempt = 1;
        let outcome = loop {
            match intake::keep(&self.pool, &flush, self.ways.next()).await {
                Ok(outcome) => break outcome,
                // Some of it was there already, and will be looked for now.
                Err(storage::Error::Conflict { .. }) if attempt < ATTEMPTS_MAX => {
                    metrics::begun_anew();
                    self.ways.note(true);
                    attempt += 1;
                }
                Err(error) if error.blames_data() => {
                    tracing::warn!(error = ?error, "the database refuses some of these events");
                    return Err(Refused::Data);
                }
                Err(error) if is_in_the_way(&error) && attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => {
                    tracing::warn!(error = ?error, "events cannot be kept");
                    self.seen.clear();
                    return Err(Refused::Away);
                }
            }
        };
        let kept = flush.new_contexts.iter().map(|it| (it.app_id, it.id));
        self.seen.note(kept, flush.now.day());
        metrics::flushed(&outcome.kept, started.elapsed());
        if !flush.events.is_empty() {
            self.ways
                .note(outcome.kept.iter().any(|it| it.duplicates > 0));
        }
        self.slis.count(&outcome.fresh);
        Ok(())
    }

    fn flush<'a>(&self, batches: &[&'a Batch]) -> Flush<'a> {
        let mut events: Vec<&Event> = batches.iter().flat_map(|it| &it.events).collect();
        events.sort_unstable_by_key(|it| it.place());
        let contexts = batches.iter().flat_map(|it| &it.contexts);
        let contexts: BTreeMap<(i32, i64), &Context> =
            contexts.map(|it| ((it.app_id, it.id), it)).collect();
        let now = self.clock.now();
        let is_new = |key| !self.seen.has(key, now.day());
        let new = contexts.iter().filter(|(key, _)| is_new(**key));
        let mut refused: Vec<_> = batches.iter().flat_map(|it| &it.refused).collect();
        refused.sort_unstable_by_key(|it| (it.app_id, it.digest));
        Flush {
            shard: self.shard,
            now,
            new_contexts: new.map(|(_, context)| *context).collect(),
            contexts: contexts.into_values().collect(),
            events,
            refused,
        }
    }
}

/// Whether the same transaction may work at once.
fn is_in_the_way(error: &storage::Error) -> bool {
    error.is_retryable() && !error.is_unavailable()
}

/// Why nothing of a flush was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// The database is away, or has not what it should have.
    Away,
    /// There is something in it that it does not take.
    Data,
}
